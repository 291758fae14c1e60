// Completion for bash: a function that completes, and one that holds the program's tables.
#include "apps/manual/completion.hpp"

#include "apps/manual/words.hpp"

#include <algorithm>
#include <functional>

namespace waybill::manual {

namespace {

constexpr const char* helpers = R"(
_{}_words() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }
_{}_files() {
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
  compopt -o filenames 2> /dev/null
}

# What may follow `command`: its options, those of them that have a value, its own commands, files.
_{}_table() {
  options= valued= commands= files=
  case $command in
)";

/// bash makes a word of its own of `=`: `--key=value` is three, and the option the one before.
constexpr const char* beginning = R"(  esac
}

_{}() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} i word
  local command={} options valued commands files
  COMPREPLY=()
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  _{}_table
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    if [[ " $valued " == *" $word "* ]]; then
      [[ ${COMP_WORDS[i + 1]} == = ]] && ((++i))
      ((++i)) # its value
    elif [[ " $commands " == *" $word "* ]]; then
      command+=" $word"
      _{}_table
    fi
  done
  case "$command $prev" in
)";

constexpr const char* ending = R"(  esac
  [[ " $valued " == *" $prev "* ]] && return # nothing is known of its value
  if [[ $cur != -* && -n $commands ]]; then
    _{}_words "$commands"
  elif [[ $cur != -* && -n $files ]]; then
    _{}_files -f
  else
    _{}_words "$options"
  fi
  # After `--key=` comes its value, without a space.
  [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2> /dev/null
  return 0
}
complete -F _{} {}
)";

std::string with_name(std::string text, const std::string& name) {
  for (auto at = text.find("{}"); at != std::string::npos; at = text.find("{}", at))
    text.replace(at, 2, name);
  return text;
}

/// Every command, the program itself first.
void visit(const described_command& command,
           const std::function<void(const described_command&)>& what) {
  what(command);
  for (const auto& each : command.commands)
    visit(each, what);
}

void add(std::string& words, const std::string& word) {
  if ((" " + words + " ").find(" " + word + " ") == std::string::npos)
    words += (words.empty() ? "" : " ") + word;
}

std::vector<const described_option*> options_of(const described_command& command) {
  std::vector<const described_option*> all;
  for (const auto& group : command.groups)
    for (const auto& each : group.options)
      all.push_back(&each);
  return all;
}

/// How its value is completed; empty: nothing is known of it.
std::string action(const described_option& option, const std::string& function) {
  if (!option.choices.empty())
    return function + "_words '" + joined(option.choices, " ") + "'";
  switch (option.kind) {
  case value_kind::file:
    return function + "_files -f";
  case value_kind::directory:
    return function + "_files -d";
  case value_kind::command:
    return function + "_files -c";
  case value_kind::none:
  case value_kind::text:
    break;
  }
  return {};
}

std::string row_of_table(const described_program& program, const described_command& command) {
  std::string options, valued, commands;
  auto all = options_of(command);
  if (&command != &program.command)
    for (const auto* option : options_of(program.command))
      all.push_back(option);
  for (const auto* option : all)
    for (const auto& name : option->names) {
      const bool joined = program.form == value_form::joined && !option->value.empty();
      add(options, joined ? name + "=" : name);
      if (!option->value.empty())
        add(valued, name);
    }
  for (const auto& each : command.commands)
    add(commands, each.name.substr(each.name.rfind(' ') + 1));
  auto text = "    '" + command.name + "')\n      options='" + options + "'\n      valued='" +
              valued + "'\n";
  if (!commands.empty())
    text += "      commands='" + commands + "'\n";
  if (std::ranges::any_of(command.arguments,
                          [](const auto& a) { return a.kind == value_kind::file; }))
    text += "      files=yes\n";
  return text + "      ;;\n";
}

/// A `case` for each option whose value can be completed; those of the program go with any command.
std::string values_of(const described_program& program, const described_command& command) {
  const auto before =
      &command == &program.command ? command.name + "*' " : "'" + command.name + " ";
  std::string text;
  for (const auto* option : options_of(command)) {
    const auto what = action(*option, "_" + program.command.name);
    if (option->value.empty() || what.empty())
      continue;
    std::vector<std::string> patterns(option->names.size());
    std::ranges::transform(option->names, patterns.begin(),
                           [&before](const auto& name) { return before + name + "'"; });
    text += "    " + joined(patterns, " | ") + ")\n      " + what + "\n      return\n      ;;\n";
  }
  return text;
}

} // namespace

std::string bash_completion(const described_program& program) {
  const auto& name = program.command.name;
  std::string text = "# Completion of " + name +
                     " for bash. Written by the build, from the same text as --help.\n" +
                     with_name(helpers, name);
  visit(program.command, [&](const auto& each) { text += row_of_table(program, each); });
  text += with_name(beginning, name);
  visit(program.command, [&](const auto& each) { text += values_of(program, each); });
  return text + with_name(ending, name);
}

} // namespace waybill::manual
