// Puts defaults, file and flags together, checks them, and hands CAF what concerns it.
#include "config/node_config.hpp"

#include "actors/extension_board.hpp"
#include "config/hand_over.hpp"
#include "storage/assert.hpp"

#include <caf/all.hpp>
#include <caf/policy/work_sharing.hpp>
#include <caf/policy/work_stealing.hpp>

#include <algorithm>
#include <thread>

namespace waybill {

namespace {

failure wrong(std::string what) { return {ec::bad_argument, std::move(what)}; }

/// A value as an error shows it: short, and without what a terminal would act upon.
std::string shown(const written_value& value) {
  std::string text = value.text.substr(0, 80);
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  if (value.text.size() > 80)
    text += "…";
  return value.quoted || text.empty() ? "\"" + text + "\"" : text;
}

failure unknown_key(const assignment& given) {
  const std::string nearest{nearest_key(given.key)};
  return wrong(given.place + ": there is no key " + given.key.substr(0, 80) + " (given the value " +
               shown(given.value) + ")" +
               (nearest.empty() ? "" : "; did you mean " + nearest + "?") +
               " (--help lists all keys)");
}

/// ` (waybilld.ini:4)`, or that nobody set it.
template <class Places>
std::string where(const Places& set_at, std::string_view key) {
  const auto found = set_at.find(key);
  return found == set_at.end() ? " (its default)" : " (" + found->second + ")";
}

// ---- Extensions
// ---------------------------------------------------------------------------------------

template <class Factories>
std::string names_of(const Factories& factories) {
  std::string names;
  for (const auto& [name, factory] : factories)
    names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "none" : names;
}

failure unknown(std::string_view key, std::string_view what, const std::string& known,
                std::string_view name) {
  std::string words;
  for (const std::string_view piece :
       {key, std::string_view{" names \""}, name,
        std::string_view{"\", and this program has registered no such "}, what,
        std::string_view{"; it has registered: "}, std::string_view{known}})
    words += piece;
  return {ec::bad_argument, std::move(words)};
}

template <class Factories>
std::optional<failure> look_for(std::string_view key, std::string_view what,
                                const Factories& factories, const std::string& name) {
  if (factories.contains(name))
    return std::nullopt;
  return unknown(key, what, names_of(factories), name);
}

/// That a name is placed which the program has not registered; none: all are known.
std::optional<failure> unknown_extension(const extension_set& known,
                                         const extension_places& placed) {
  for (const auto& name : placed.alarm_sinks)
    if (auto why = look_for("extensions.alarm-sinks", "alarm sink", known.alarm_sinks, name))
      return why;
  for (const auto& each : placed.interceptors)
    if (auto why =
            look_for("extensions.interceptors", "interceptor", known.interceptors, each.extension))
      return why;
  for (const auto& each : placed.letter_listeners)
    if (auto why = look_for("extensions.letter-listeners", "dead-letter listener",
                            known.letter_listeners, each.extension))
      return why;
  for (const auto& each : placed.redelivery_policies)
    if (auto why = look_for("extensions.redelivery-policies", "redelivery policy",
                            known.redelivery_policies, each.extension))
      return why;
  return std::nullopt;
}

caf::config_value to_caf(const setting_value& value) {
  if (const auto* text = std::get_if<std::string>(&value))
    return caf::config_value{*text};
  if (const auto* on = std::get_if<bool>(&value))
    return caf::config_value{*on};
  if (const auto* count = std::get_if<std::uint64_t>(&value))
    return caf::config_value{static_cast<std::int64_t>(*count)}; // every range ends far below
  if (const auto* span = std::get_if<milliseconds>(&value))
    return caf::config_value{caf::timespan{*span}};
  return caf::config_value{std::get<double>(value)};
}

constexpr std::int64_t messages_of_a_turn = 100;

template <class Policy>
caf::actor_system::module* scheduler_with(caf::actor_system& system) {
  return caf::scheduler::coordinator<Policy>::make(system, {});
}

/// CAF knows its own policies by name, and takes any that is loaded.
caf::actor_system::module* wanted_scheduler(caf::actor_system& system) {
  const auto policy = caf::get_or(system.config(), "scheduler.policy", caf::atom("handover"));
  if (policy == caf::atom("sharing"))
    return scheduler_with<caf::policy::work_sharing>(system);
  if (policy == caf::atom("stealing"))
    return scheduler_with<caf::policy::work_stealing>(system);
  return scheduler_with<hand_over>(system);
}

} // namespace

node_config::node_config() {
  module_factories.emplace_back(wanted_scheduler);
  hand_to_caf();
}

result<std::unique_ptr<node_config>> node_config::parse(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  auto made = std::make_unique<node_config>();
  if (auto done = made->read(arguments); !done)
    return done.error();
  return made;
}

result<void> node_config::read(std::span<const std::string> arguments) {
  auto line = parse_command_line(arguments);
  if (!line)
    return line.error();
  if (line->wants == wanted_action::help || line->wants == wanted_action::version) {
    wanted_ = line->wants;
    return {};
  }
  node_settings values;
  places set_at;
  if (line->config_file) {
    const auto assignments = read_config_file(*line->config_file);
    if (!assignments)
      return assignments.error();
    if (auto done = apply(*assignments, values, set_at); !done)
      return done;
  }
  if (auto done = apply(line->flags, values, set_at); !done)
    return done;
  if (auto done = check(values, set_at); !done)
    return done;
  if (const auto why = unknown_extension(extensions_, places_of(values)))
    return *why;
  values_ = std::move(values);
  wanted_ = line->wants;
  hand_to_caf();
  return {};
}

template <class Factories, class Factory>
static void add(Factories& to, std::string name, Factory start) {
  WAYBILL_ASSERT(is_valid_name(name) && start);
  const bool is_new = to.emplace(std::move(name), std::move(start)).second;
  WAYBILL_ASSERT(is_new);
}

void node_config::add_alarm_sink(std::string name, extension_factory<alarm_sink_actor> start) {
  add(extensions_.alarm_sinks, std::move(name), std::move(start));
}

void node_config::add_interceptor(std::string name, extension_factory<interceptor_actor> start) {
  add(extensions_.interceptors, std::move(name), std::move(start));
}

void node_config::add_letter_listener(std::string name,
                                      extension_factory<letter_listener_actor> start) {
  add(extensions_.letter_listeners, std::move(name), std::move(start));
}

void node_config::add_redelivery_policy(std::string name,
                                        extension_factory<redelivery_actor> start) {
  add(extensions_.redelivery_policies, std::move(name), std::move(start));
}

extension_places places_of(const node_settings& values) {
  const auto& from = values.extensions;
  return {*parse_names(from.alarm_sinks), *parse_placements(from.interceptors, placed_at::topic),
          *parse_placements(from.letter_listeners, placed_at::group),
          *parse_placements(from.redelivery_policies, placed_at::group)};
}

std::string node_config::text() const {
  switch (wanted_) {
  case wanted_action::run:
    return {};
  case wanted_action::help:
    return help_text();
  case wanted_action::version:
    return version_text() + "\n";
  case wanted_action::dump_config:
    return config_text(values_);
  }
  return {};
}

std::size_t node_config::threads() const noexcept {
  if (values_.scheduler.max_threads != 0)
    return values_.scheduler.max_threads;
  return std::max(2u, std::thread::hardware_concurrency());
}

/// One source, a file or the flags: within it a key is set once.
result<void> node_config::apply(const std::vector<assignment>& from, node_settings& to,
                                places& set_at) {
  places seen;
  for (const auto& each : from) {
    const auto* key = find_option(each.key);
    if (key == nullptr)
      return unknown_key(each);
    const auto [earlier, is_first] = seen.emplace(each.key, each.place);
    if (!is_first)
      return wrong(each.place + ": " + each.key + " = " + shown(each.value) +
                   " is set a second time, after " + earlier->second + ": once is allowed.");
    if (const auto problem = assign(*key, each.value, to))
      return wrong(each.place + ": " + each.key + " = " + shown(each.value) + " " + *problem + ".");
    set_at.insert_or_assign(each.key, each.place);
  }
  return {};
}

/// What no key shows alone. Source: design, section 4 (single nodes, TLS and users).
result<void> node_config::check(const node_settings& values, const places& set_at) {
  if (const auto conflict = find_conflict(values.bounds))
    return wrong(conflict->detail + " Set: " + std::string{conflict->key} +
                 where(set_at, conflict->key) + ", " + std::string{conflict->other} +
                 where(set_at, conflict->other) + ".");
  if (values.net.listen.is_loopback())
    return {};
  std::string missing;
  if (!values.node.allow_single)
    missing += " A node without a coordinator keeps one copy only and listens on loopback, unless "
               "node.allow-single = true.";
  if (!values.net.allow_insecure)
    missing += " Without TLS and users nothing listens beyond loopback, unless "
               "net.allow-insecure = true.";
  if (missing.empty())
    return {};
  return wrong("net.listen = " + to_string(values.net.listen) + where(set_at, "net.listen") +
               " can be reached from other machines, and is refused." + missing +
               " Allowed as it is: 127.0.0.1, [::1] or localhost.");
}

void node_config::hand_to_caf() {
  for (const auto& each : options()) {
    auto value = to_caf(each.read(values_));
    caf::put(content, caf::string_view{each.key.data(), each.key.size()}, std::move(value));
  }
  caf::put(content, "scheduler.policy", caf::atom_from_string(values_.scheduler.policy));
  // CAF's own default has no bound: an actor that always has mail would keep its thread, and with
  // it the one that it has given work.
  caf::put(content, "scheduler.max-throughput", messages_of_a_turn);
  caf::put(content, "scheduler.max-threads", static_cast<std::int64_t>(threads()));
}

} // namespace waybill
