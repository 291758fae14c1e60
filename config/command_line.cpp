// Takes the flags apart; the table of keys says elsewhere which of them exist.
#include "config/command_line.hpp"

#include <algorithm>
#include <string_view>

namespace waybill {

namespace {

failure wrong(std::string what) { return {ec::bad_argument, std::move(what)}; }

result<void> read_flag(const std::string& argument, command_line& to) {
  if (!argument.starts_with("--") || argument.size() == 2)
    return wrong("the argument '" + argument +
                 "' is no flag: a flag is written --group.key=value; --help lists them all.");
  const auto equals = argument.find('=');
  const bool has_value = equals != std::string::npos;
  const auto name = argument.substr(2, has_value ? equals - 2 : std::string::npos);
  const auto value = has_value ? argument.substr(equals + 1) : std::string{};
  if (name == "dump-config" || name == "help" || name == "version") {
    if (has_value)
      return wrong("the flag --" + name + " takes no value, but '" + value + "' was given.");
    to.wants = wanted_action::dump_config;
    return {};
  }
  if (name == "config-file") {
    if (value.empty())
      return wrong("the flag --config-file lacks its value: write --config-file=FILE in one word.");
    if (to.config_file)
      return wrong("the flag --config-file was given twice, with '" + *to.config_file + "' and '" +
                   value + "': one file is allowed.");
    to.config_file = value;
    return {};
  }
  const auto* known = find_option(name);
  if (known != nullptr && !has_value) {
    if (!std::holds_alternative<bool>(known->read(node_settings{})))
      return wrong("the flag --" + name + " lacks its value: write --" + name +
                   "=VALUE in one word, where allowed is " + known->allowed + ".");
    to.flags.push_back({name, {"true", false}, "the flag " + argument});
    return {};
  }
  to.flags.push_back({name, {value, false}, "the flag " + argument});
  return {};
}

} // namespace

result<command_line> parse_command_line(std::span<const std::string> arguments) {
  command_line found;
  const auto asks_for = [&](std::string_view flag, std::string_view letter) {
    return std::ranges::any_of(arguments,
                               [&](const auto& each) { return each == flag || each == letter; });
  };
  if (asks_for("--help", "-h")) {
    found.wants = wanted_action::help;
    return found;
  }
  if (asks_for("--version", "-V")) {
    found.wants = wanted_action::version;
    return found;
  }
  for (const auto& each : arguments)
    if (auto done = read_flag(each, found); !done)
      return done.error();
  return found;
}

} // namespace waybill
