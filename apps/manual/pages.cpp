// See pages.hpp.
#include "apps/manual/pages.hpp"

#include "apps/manual/troff.hpp"
#include "apps/manual/words.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace waybill::manual {

namespace {

std::string page_name(const described_command& command) {
  auto name = command.name;
  std::ranges::replace(name, ' ', '-');
  return name;
}

std::string reference(const std::string& name, const std::string& section) {
  return bold(name) + "(" + section + ")";
}

std::string sentence(const std::string& text) { return text.ends_with('.') ? text : text + "."; }

/// `--key KEY`, `--help, -h`, `TOPIC`.
std::string headline(const described_option& option, value_form form) {
  if (!option.names.front().starts_with('-'))
    return italic(option.names.front());
  std::vector<std::string> names(option.names.size());
  std::ranges::transform(option.names, names.begin(), bold);
  auto text = joined(names, ", ");
  if (!option.value.empty())
    text += (form == value_form::joined ? "=" : " ") + italic(option.value);
  return text;
}

/// The facts in brackets behind the sentence, or, where they are sentences, below it.
void write_option(man_page& to, const described_option& option, value_form form) {
  auto facts = option.facts;
  if (form == value_form::joined)
    return to.item(headline(option, form), option.says, facts);
  if (!option.choices.empty())
    facts.insert(facts.begin(), "one of " + joined(option.choices, ", "));
  if (option.required && option.names.front().starts_with('-'))
    facts.emplace_back("must be given");
  if (option.repeatable)
    facts.emplace_back("may be given several times");
  to.item(headline(option, form),
          option.says + (facts.empty() ? "" : " (" + joined(facts, "; ") + ")"));
}

std::string synopsis(const described_command& command) {
  auto text = bold(command.name) + " [" + italic("OPTIONS") + "]";
  for (const auto& each : command.arguments) {
    const auto word = italic(each.names.front()) + (each.repeatable ? "..." : "");
    text += each.required ? " " + word : " [" + word + "]";
  }
  return text;
}

void write_pieces(man_page& to, const prose& words) {
  for (const auto& each : words.pieces) {
    if (!each.paragraph.empty())
      to.paragraph(each.paragraph);
    else
      to.verbatim(each.lines);
  }
}

void write_options(man_page& to, const described_command& command, value_form form) {
  for (const auto& each : command.arguments)
    write_option(to, each, form);
  for (const auto& group : command.groups) {
    if (!group.title.empty())
      to.subheading(group.title);
    for (const auto& each : group.options)
      write_option(to, each, form);
  }
}

void write_examples(man_page& to, const std::vector<std::string>& examples) {
  if (examples.empty())
    return;
  to.heading("EXAMPLES");
  to.verbatim(examples);
}

/// A command of a command: a part of its page.
void write_part(man_page& to, const described_command& command, value_form form) {
  to.subheading(command.name);
  to.line(synopsis(command));
  to.paragraph(sentence(command.says));
  write_options(to, command, form);
  const auto words = read_prose(command.more);
  write_pieces(to, words);
  if (!words.exit_status.empty())
    to.paragraph("Exit status: " + words.exit_status);
  if (!words.examples.empty())
    to.verbatim(words.examples);
}

man_page begin(const described_program& program, const described_command& command) {
  man_page result{page_name(command), program.section, program.version};
  result.heading("NAME");
  result.line(escaped(page_name(command)) + " \\- " + escaped(command.says));
  result.heading("SYNOPSIS");
  return result;
}

void write_environment(man_page& to, const described_command& command) {
  bool begun = false;
  for (const auto& group : command.groups)
    for (const auto& each : group.options) {
      if (each.environment.empty())
        continue;
      if (!std::exchange(begun, true))
        to.heading("ENVIRONMENT");
      to.item(bold(each.environment), "Stands in for `" + each.names.front() + "`.");
    }
}

std::string program_page(const described_program& program) {
  const auto& command = program.command;
  auto to = begin(program, command);
  if (program.synopsis.empty())
    to.line(synopsis(command) + " " + italic("COMMAND") + " ...");
  else
    to.line(escaped(program.synopsis));
  const auto words = read_prose(command.more);
  to.heading("DESCRIPTION");
  auto says = sentence(command.says);
  says.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(says.front())));
  to.paragraph(says);
  write_pieces(to, words);
  if (!command.commands.empty()) {
    to.heading("COMMANDS");
    for (const auto& each : command.commands)
      to.item(reference(page_name(each), program.section), sentence(each.says));
  }
  to.heading("OPTIONS");
  write_options(to, command, program.form);
  write_environment(to, command);
  to.heading("EXIT STATUS");
  to.paragraph(words.exit_status);
  write_examples(to, words.examples);
  to.heading("SEE ALSO");
  to.line(program.section == "8" ? reference("waybill", "1") : reference("waybilld", "8"));
  return to.text();
}

std::string command_page(const described_program& program, const described_command& command) {
  auto to = begin(program, command);
  if (command.commands.empty())
    to.line(synopsis(command));
  for (const auto& each : command.commands) {
    to.line(synopsis(each));
    to.line_break();
  }
  const auto words = read_prose(command.more);
  to.heading("DESCRIPTION");
  to.paragraph(sentence(command.says));
  write_pieces(to, words);
  if (!command.commands.empty())
    to.heading("COMMANDS");
  for (const auto& each : command.commands)
    write_part(to, each, program.form);
  to.heading("OPTIONS");
  write_options(to, command, program.form);
  to.heading("OPTIONS OF ALL COMMANDS");
  for (const auto& each : program.command.groups.front().options)
    if (each.names.front() != "--help") // every command has it, and has told of it
      write_option(to, each, program.form);
  to.heading("EXIT STATUS");
  to.paragraph(words.exit_status.empty() ? read_prose(program.command.more).exit_status
                                         : words.exit_status);
  write_examples(to, words.examples);
  to.heading("SEE ALSO");
  to.line(reference(page_name(program.command), program.section));
  return to.text();
}

} // namespace

std::vector<page> pages(const described_program& program) {
  std::vector<page> all{{page_name(program.command), program_page(program)}};
  for (const auto& each : program.command.commands)
    all.push_back({page_name(each), command_page(program, each)});
  return all;
}

} // namespace waybill::manual
