// What a program's own tables say of it: its commands and options. Manual pages and completion are
// written from this, whatever the tables are.
#pragma once

#include <string>
#include <vector>

namespace waybill::manual {

/// What a value is, as far as a shell can help with it.
enum class value_kind : std::uint8_t { none, text, file, directory, command };

struct described_option {
  std::vector<std::string> names; ///< `--help`, `-h`, the longest first; of an argument: `TOPIC`
  std::string value;              ///< what stands for its value: `FILE`; empty: it has none
  value_kind kind = value_kind::none;
  std::vector<std::string> choices; ///< all its values, where these are a few words
  std::string says;
  std::vector<std::string> facts; ///< its default, what it goes with: a few words each
  std::string environment;        ///< the variable that stands in for it; empty: none
  bool required = false;
  bool repeatable = false;
};

/// Options that belong together.
struct described_group {
  std::string title; ///< empty: the options that every program has
  std::vector<described_option> options;
};

struct described_command {
  std::string name; ///< all of it: `waybill topic create`
  std::string says; ///< one line
  std::string more; ///< paragraphs, examples and exit statuses, as the help has them below
  std::vector<described_option> arguments;
  std::vector<described_group> groups;
  std::vector<described_command> commands;
};

/// A value follows its option as a word of its own, or behind `=`; or behind `=` alone.
enum class value_form : std::uint8_t { next_word, joined };

struct described_program {
  described_command command; ///< its options are those of all of its commands too
  std::string version;
  std::string section;  ///< of the manual
  std::string synopsis; ///< of the whole program, where it is not made from `command`
  value_form form = value_form::next_word;
};

/// `waybill`, out of the argument parser's table.
[[nodiscard]] described_program describe_waybill();
/// `waybilld`, out of the table of keys.
[[nodiscard]] described_program describe_waybilld();

} // namespace waybill::manual
