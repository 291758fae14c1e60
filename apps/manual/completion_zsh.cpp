// Completion for zsh: a function for each command, which hands its options to `_arguments`.
#include "apps/manual/completion.hpp"

#include "apps/manual/words.hpp"

#include <algorithm>

namespace waybill::manual {

namespace {

/// In single quotes, with a backslash before each of `special`.
std::string quoted(std::string_view text, std::string_view special) {
  std::string result;
  for (const char each : text) {
    if (each == '\'') {
      result += "'\\''";
      continue;
    }
    if (special.find(each) != std::string_view::npos)
      result += '\\';
    result += each;
  }
  return result;
}

std::string action(const described_option& option) {
  if (!option.choices.empty())
    return "(" + joined(option.choices, " ") + ")";
  if (option.kind == value_kind::file)
    return "_files";
  if (option.kind == value_kind::directory)
    return "_files -/";
  return option.kind == value_kind::command ? "_command_names" : " ";
}

std::string argument(const described_option& option) {
  return (option.repeatable ? "*:"
          : option.required ? ":"
                            : "::") +
         quoted(option.names.front(), "\\:") + ":" + action(option);
}

/// `'(--help -h)--help[What it does]:VALUE:action'`, for each of its names.
std::vector<std::string> option_words(const described_option& option, value_form form) {
  const auto before = option.repeatable ? "*" : "(" + joined(option.names, " ") + ")";
  std::vector<std::string> words;
  for (const auto& name : option.names) {
    auto word = before + name;
    if (!option.value.empty())
      word += form == value_form::joined ? "=-" : "=";
    word += "[" + quoted(option.says, "\\[]") + "]";
    if (!option.value.empty())
      word += ":" + quoted(option.value, "\\:") + ":" + action(option);
    words.push_back("'" + word + "'");
  }
  return words;
}

std::string function_name(const described_command& command) {
  auto name = "_" + command.name;
  std::ranges::replace(name, ' ', '_');
  return name;
}

std::string last_word(const described_command& command) {
  return command.name.substr(command.name.rfind(' ') + 1);
}

/// Options that a command has are not told again where those of the program follow.
std::string arguments(const described_program& program, const described_command& command) {
  std::string text;
  std::vector<std::string> told;
  const auto tell = [&](const described_command& of) {
    for (const auto& group : of.groups)
      for (const auto& option : group.options) {
        if (std::ranges::find(told, option.names.front()) != told.end())
          continue;
        told.push_back(option.names.front());
        for (const auto& word : option_words(option, program.form))
          text += " \\\n    " + word;
      }
  };
  tell(command);
  if (&command != &program.command)
    tell(program.command);
  for (const auto& each : command.arguments)
    text += " \\\n    '" + argument(each) + "'";
  return text;
}

void add_functions(const described_program& program, const described_command& command,
                   std::string& to) {
  for (const auto& each : command.commands)
    add_functions(program, each, to);
  to += "\n" + function_name(command) + "() {\n";
  if (command.commands.empty()) {
    to += "  _arguments -s" + arguments(program, command) + "\n}\n";
    return;
  }
  to += "  local curcontext=$curcontext state line\n  local -a commands\n  local -A opt_args\n"
        "  _arguments -s -C" +
        arguments(program, command) +
        " \\\n    '1:command:->command' \\\n    '*::argument:->argument'\n"
        "  case $state in\n    command)\n      commands=(";
  for (const auto& each : command.commands)
    to += "\n        '" + quoted(last_word(each), "\\:") + ":" + quoted(each.says, "\\") + "'";
  to += ")\n      _describe command commands\n      ;;\n    argument)\n      case $words[1] in\n";
  for (const auto& each : command.commands)
    to += "        " + last_word(each) + ") " + function_name(each) + " ;;\n";
  to += "      esac\n      ;;\n  esac\n}\n";
}

} // namespace

std::string zsh_completion(const described_program& program) {
  const auto& name = program.command.name;
  std::string text = "#compdef " + name + "\n# Completion of " + name +
                     " for zsh. Written by the build, from the same text as --help.\n";
  add_functions(program, program.command, text);
  return text + "\n_" + name + " \"$@\"\n";
}

} // namespace waybill::manual
