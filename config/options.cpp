// The table of keys, and how values of each type are read and written.
#include "config/options.hpp"

#include "actors/rules/placement.hpp"
#include "storage/types.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <numeric>
#include <type_traits>

namespace waybill {

namespace {

/// `1048576 (1 MiB)`: large sizes are hard to read in bytes.
std::string shown_size(std::uint64_t bytes) {
  constexpr std::array names{"KiB", "MiB", "GiB", "TiB"};
  auto text = std::to_string(bytes);
  for (std::size_t power = names.size(); power > 0; --power) {
    const auto unit = std::uint64_t{1} << (10 * power);
    if (bytes >= unit && bytes % unit == 0)
      return text + " (" + std::to_string(bytes / unit) + " " + names[power - 1] + ")";
  }
  return text;
}

std::string allowed_values(const limit_key& limit) {
  const auto low = to_string(limit.low);
  const auto high = to_string(limit.high);
  if (std::holds_alternative<milliseconds>(limit.low))
    return "a span of time from " + low + " to " + high +
           " in whole milliseconds, such as 30s or 500ms";
  if (std::holds_alternative<double>(limit.low))
    return "a number from " + low + " to " + high;
  if (limit.unit == "bytes")
    return "a whole number of bytes from " + shown_size(std::get<std::uint64_t>(limit.low)) +
           " to " + shown_size(std::get<std::uint64_t>(limit.high)) +
           ", also written as 64KiB, 16MiB or 1GiB";
  if (limit.unit == "percent")
    return "a whole number of percent from " + low + " to " + high;
  return "a whole number of " + std::string{limit.unit} + " from " + low + " to " + high;
}

/// Nothing for a text or a switch, which no limit is.
std::optional<limit_value> as_limit(const setting_value& value) {
  return std::visit(
      [](const auto& each) -> std::optional<limit_value> {
        using type = std::decay_t<decltype(each)>;
        if constexpr (std::is_same_v<type, std::string> || std::is_same_v<type, bool>)
          return std::nullopt;
        else
          return limit_value{each};
      },
      value);
}

option from_limit(const limit_key& limit) {
  option made{limit.key,
              limit.unit,
              allowed_values(limit),
              limit.bounds,
              limit.at_end,
              to_text(limit.alarm),
              {},
              {}};
  made.read = [&limit](const node_settings& from) {
    return std::visit([](auto value) { return setting_value{value}; }, limit.read(from.bounds));
  };
  made.write = [&limit](node_settings& to, const setting_value& value) {
    const auto given = as_limit(value);
    if (!given || !limit.in_range(*given))
      return false;
    limit.write(to.bounds, *given);
    return true;
  };
  return made;
}

/// A text that must be one of a few words.
template <class Place>
option choice(std::string_view key, std::string_view says,
              std::initializer_list<std::string_view> words, Place place) {
  std::string allowed = "one of";
  for (const auto& word : words)
    allowed += (&word == words.begin() ? " " : ", ") + std::string{word};
  option made{key, {}, std::move(allowed), says, {}, {}, {}, {}};
  made.read = [place](const node_settings& from) { return setting_value{place(from)}; };
  made.words = words;
  made.write = [place, known = made.words](node_settings& to, const setting_value& value) {
    const auto& text = std::get<std::string>(value);
    if (std::ranges::find(known, text) == known.end())
      return false;
    place(to) = text;
    return true;
  };
  return made;
}

template <class Place>
option toggle(std::string_view key, std::string_view says, Place place) {
  option made{key, {}, "true or false", says, {}, {}, {}, {}};
  made.words = {"true", "false"};
  made.read = [place](const node_settings& from) { return setting_value{place(from)}; };
  made.write = [place](node_settings& to, const setting_value& value) {
    place(to) = std::get<bool>(value);
    return true;
  };
  return made;
}

option node_id() {
  option made{"node.id",
              {},
              "a name of 1 to 128 of a-z A-Z 0-9 . _ -, not beginning with a dot",
              "The node's name, in its logs and in its cluster.",
              {},
              {},
              {},
              {}};
  made.read = [](const node_settings& from) { return setting_value{from.node.id}; };
  made.write = [](node_settings& to, const setting_value& value) {
    const auto& text = std::get<std::string>(value);
    if (!is_valid_name(text))
      return false;
    to.node.id = text;
    return true;
  };
  return made;
}

option data_dir() {
  option made{"node.data-dir",
              {},
              "a path of 1 to 4095 bytes without control characters",
              "The directory that holds the node's messages; one node at a time uses it.",
              {},
              {},
              {},
              {}};
  made.read = [](const node_settings& from) { return setting_value{from.node.data_dir.string()}; };
  made.write = [](node_settings& to, const setting_value& value) {
    const auto& text = std::get<std::string>(value);
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (text.empty() || text.size() > 4'095 || std::ranges::any_of(text, is_control))
      return false;
    to.node.data_dir = text;
    return true;
  };
  return made;
}

option listen() {
  option made{"net.listen",
              {},
              "HOST:PORT, such as 127.0.0.1:7411 or [::1]:7411, where port 0 is any free one",
              "Where clients connect.",
              {},
              {},
              {},
              {}};
  made.read = [](const node_settings& from) { return setting_value{to_string(from.net.listen)}; };
  made.write = [](node_settings& to, const setting_value& value) {
    auto address = parse_listen_address(std::get<std::string>(value));
    if (!address)
      return false;
    to.net.listen = std::move(*address);
    return true;
  };
  return made;
}

/// A text that says where extensions serve. `reads`: whether it can be read.
template <class Place, class Reads>
option placing(std::string_view key, std::string allowed, std::string_view says, Place place,
               Reads reads) {
  option made{key, {}, std::move(allowed), says, {}, {}, {}, {}};
  made.read = [place](const node_settings& from) { return setting_value{place(from)}; };
  made.write = [place, reads](node_settings& to, const setting_value& value) {
    const auto& text = std::get<std::string>(value);
    if (text.size() > 65'536 || !reads(text))
      return false;
    place(to) = text;
    return true;
  };
  return made;
}

void add_extension_places(std::vector<option>& to) {
  to.push_back(placing(
      "extensions.alarm-sinks", "names with commas between, such as pager,mailer",
      "Which alarm sinks are told of alarms, besides the log; a program of one's own registers "
      "them.",
      [](auto& in) -> auto& { return in.extensions.alarm_sinks; },
      [](const std::string& text) { return bool(parse_names(text)); }));
  to.push_back(placing(
      "extensions.interceptors",
      "TOPIC=NAME with commas between, such as orders=checker, where * in TOPIC stands for any "
      "letters and the first that fits counts",
      "Which interceptor is asked before a batch of a topic is taken.",
      [](auto& in) -> auto& { return in.extensions.interceptors; },
      [](const std::string& text) { return bool(parse_placements(text, placed_at::topic)); }));
  to.push_back(placing(
      "extensions.letter-listeners",
      "TOPIC/GROUP=NAME with commas between, such as orders/billing=desk, where * stands for any "
      "letters and all that fit are told",
      "Which listeners are told of a group's dead letters.",
      [](auto& in) -> auto& { return in.extensions.letter_listeners; },
      [](const std::string& text) { return bool(parse_placements(text, placed_at::group)); }));
  to.push_back(placing(
      "extensions.redelivery-policies",
      "TOPIC/GROUP=NAME with commas between, such as orders/billing=patient, where * stands for "
      "any "
      "letters and the first that fits counts",
      "Which policy is asked what becomes of a message that its consumer could not process.",
      [](auto& in) -> auto& { return in.extensions.redelivery_policies; },
      [](const std::string& text) { return bool(parse_placements(text, placed_at::group)); }));
}

option max_threads() {
  option made{"scheduler.max-threads",
              {},
              "a whole number from 0 to 1024",
              "How many threads run actors; 0 is one per processor core, two at the least.",
              {},
              {},
              {},
              {}};
  made.read = [](const node_settings& from) { return setting_value{from.scheduler.max_threads}; };
  made.write = [](node_settings& to, const setting_value& value) {
    const auto count = std::get<std::uint64_t>(value);
    if (count > 1'024)
      return false;
    to.scheduler.max_threads = count;
    return true;
  };
  return made;
}

std::vector<option> make_options() {
  std::vector<option> all;
  all.push_back(node_id());
  all.push_back(data_dir());
  all.push_back(toggle(
      "node.allow-single",
      "Whether a node without a coordinator, so without replicas, may serve other machines.",
      [](auto& in) -> auto& { return in.node.allow_single; }));
  all.push_back(choice(
      "node.log-level", "The least severe messages that are logged.",
      {"trace", "debug", "info", "warning", "error", "off"},
      [](auto& in) -> auto& { return in.node.log_level; }));
  all.push_back(listen());
  all.push_back(toggle(
      "net.allow-insecure", "Whether other machines may connect without TLS and without users.",
      [](auto& in) -> auto& { return in.net.allow_insecure; }));
  for (const auto& limit : limit_keys())
    all.push_back(from_limit(limit));
  add_extension_places(all); // behind the limits of their group, which is the last
  all.push_back(choice(
      "scheduler.policy", "How threads share the actors that have work.",
      {"handover", "sharing", "stealing"}, [](auto& in) -> auto& { return in.scheduler.policy; }));
  all.push_back(max_threads());
  return all;
}

/// How many letters one must insert, remove or change to make one text of the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  // A word is looked at no further than any known one reaches: whoever wrote it may be hostile.
  word = word.substr(0, 64);
  const auto distance = [word](std::string_view each) { return edit_distance(word, each); };
  const auto best = std::ranges::min(known, {}, distance);
  return distance(best) <= std::max<std::size_t>(2, word.size() / 3) ? best : std::string_view{};
}

} // namespace

const std::vector<option>& options() {
  static const std::vector<option> all = make_options();
  return all;
}

const std::vector<std::string_view>& option_groups() {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> groups;
    for (const auto& each : options())
      if (groups.empty() || groups.back() != each.group())
        groups.push_back(each.group());
    return groups;
  }();
  return all;
}

const option* find_option(std::string_view key) {
  const auto found = std::ranges::find(options(), key, &option::key);
  return found == options().end() ? nullptr : &*found;
}

std::string_view nearest_key(std::string_view key) {
  std::vector<std::string_view> known;
  for (const auto& each : options())
    known.push_back(each.key);
  return nearest(key, known);
}

std::string_view nearest_group(std::string_view group) { return nearest(group, option_groups()); }

} // namespace waybill
