// Walks the argument parser's tables of `waybill`.
#include "apps/manual/description.hpp"

#include "apps/manual/words.hpp"
#include "apps/waybill/command.hpp"

#include <algorithm>

namespace waybill::manual {

namespace {

/// An option may be both: a word in its place, and one behind its name.
enum class as : std::uint8_t { argument, option };

std::vector<std::string> names_of(const CLI::Option& option, as what) {
  if (what == as::argument)
    return {option.get_name(true)};
  std::vector<std::string> names;
  for (const auto& name : option.get_lnames())
    names.push_back("--" + name);
  for (const auto& name : option.get_snames())
    names.push_back("-" + name);
  return names;
}

value_kind kind_of(const std::string& word) {
  if (word == "FILE")
    return value_kind::file;
  if (word == "DIR")
    return value_kind::directory;
  return word == "CMD" ? value_kind::command : value_kind::text;
}

/// The parser's type is a word, a colon, and what its checks say of themselves: `N:UINT in [1 -
/// 5]`, `TEXT:{raw,json}`.
void read_type(const std::string& type, described_option& to) {
  const auto colon = type.find(':');
  to.value = type.substr(0, colon);
  to.kind = kind_of(to.value);
  if (colon == std::string::npos)
    return;
  const auto check = type.substr(colon + 1);
  if (!check.starts_with('{') || !check.ends_with('}')) {
    const auto range = check.find('[');
    to.facts.push_back(range == std::string::npos ? check : "in " + check.substr(range));
    return;
  }
  const auto words = check.substr(1, check.size() - 2);
  for (std::size_t begin = 0; begin <= words.size();) {
    const auto end = std::min(words.find(',', begin), words.size());
    to.choices.push_back(words.substr(begin, end - begin));
    begin = end + 1;
  }
}

/// `words --a, --b`: the parser keeps them by address, so they are put in order here.
void add_others(const char* words, const std::set<CLI::Option*>& others, described_option& to) {
  std::vector<std::string> names(others.size());
  std::ranges::transform(others, names.begin(), [](const auto* each) { return each->get_name(); });
  std::ranges::sort(names);
  if (!names.empty())
    to.facts.push_back(words + joined(names, ", "));
}

described_option describe(const CLI::Option& option, as what) {
  described_option result;
  result.names = names_of(option, what);
  result.says = option.get_description();
  result.environment = option.get_envname();
  result.required = option.get_required();
  if (option.get_items_expected_max() > 0) {
    read_type(option.get_type_name(), result);
    result.repeatable = option.get_expected_max() >= CLI::detail::expected_max_vector_size;
  }
  if (what == as::argument)
    result.kind = kind_of(result.names.front());
  if (!option.get_default_str().empty())
    result.facts.push_back("default " + option.get_default_str());
  if (!result.environment.empty())
    result.facts.push_back("or " + result.environment + " in the environment");
  add_others("with ", option.get_needs(), result);
  add_others("not with ", option.get_excludes(), result);
  return result;
}

described_command describe(const CLI::App& app, const std::string& name) {
  described_command result{name, app.get_description(), app.get_footer(), {}, {{}}, {}};
  for (const auto* option : app.get_options()) {
    if (option->get_group().empty())
      continue; // not for people
    if (option->get_positional())
      result.arguments.push_back(describe(*option, as::argument));
    if (option->nonpositional())
      result.groups.front().options.push_back(describe(*option, as::option));
  }
  for (const auto* each : app.get_subcommands([](const CLI::App*) { return true; }))
    result.commands.push_back(describe(*each, name + " " + each->get_name()));
  return result;
}

} // namespace

described_program describe_waybill() {
  cli::context c;
  CLI::App app{cli::summary, "waybill"};
  cli::add_all_commands(app, c);
  auto command = describe(app, "waybill");
  // Its name is told beside it, and a page's name has no full stop.
  command.says = command.says.substr(command.says.find(": ") + 2);
  command.says.pop_back();
  return {std::move(command), WAYBILL_VERSION, "1", {}, value_form::next_word};
}

} // namespace waybill::manual
