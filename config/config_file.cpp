// Reads configuration files line by line; every error names the file, the line and what is on it.
#include "config/config_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

namespace waybill {

namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// A line as an error shows it: short, and without what a terminal would act upon.
std::string shown(std::string_view line) {
  std::string text{line.substr(0, 80)};
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return "'" + text + (line.size() > 80 ? "…'" : "'");
}

bool is_word(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !text.empty() && std::ranges::all_of(text, fits);
}

/// Whether nothing but a comment is left.
bool ends_here(std::string_view rest) {
  rest = trim(rest);
  return rest.empty() || rest.front() == ';';
}

class reader {
public:
  explicit reader(std::string_view name) : name_{name} {}

  result<std::vector<assignment>> read(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) // what some editors put before UTF-8
      text.remove_prefix(3);
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      ++line_;
      if (auto done = read_line(trim(text.substr(0, end))); !done)
        return done.error();
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return std::move(found_);
  }

private:
  result<void> read_line(std::string_view line) {
    if (ends_here(line))
      return {};
    if (line.front() == '[')
      return read_group(line);
    const auto equals = line.find('=');
    const auto key = trim(line.substr(0, std::min(equals, line.size())));
    if (equals == std::string_view::npos || !is_word(key))
      return wrong(shown(line) + " is neither [group], nor key = value, nor a comment after ;");
    if (group_.empty()) {
      const std::string nearest{nearest_group(key.substr(0, key.find('.')))};
      return wrong("the key " + std::string{key} + " stands outside of a group: put " +
                   (nearest.empty() ? "the line of its group, such as [net],"
                                    : "a line [" + nearest + "] or another group's") +
                   " before it");
    }
    if (key.find('.') != std::string_view::npos)
      return wrong("the key " + std::string{key} + " has a dot: within [" + group_ +
                   "] a key is written without its group");
    auto value = read_value(trim(line.substr(equals + 1)), group_ + "." + std::string{key});
    if (!value)
      return value.error();
    found_.push_back({group_ + "." + std::string{key}, std::move(*value), place()});
    return {};
  }

  result<void> read_group(std::string_view line) {
    const auto close = line.find(']');
    if (close == std::string_view::npos || !ends_here(line.substr(close + 1)))
      return wrong(shown(line) + " is no whole line [group]");
    const std::string name{trim(line.substr(1, close - 1))};
    if (std::ranges::find(option_groups(), name) == option_groups().end()) {
      const std::string nearest{nearest_group(name)};
      return wrong("there is no group [" + name.substr(0, 64) + "]" +
                   (nearest.empty() ? "; --help lists all groups with their keys"
                                    : "; did you mean [" + nearest + "]?"));
    }
    group_ = name;
    return {};
  }

  /// @pre `text` is trimmed and goes to the end of the line
  result<written_value> read_value(std::string_view text, const std::string& key) {
    if (ends_here(text))
      return wrong(key + " has no value; for an empty text write \"\"");
    if (text.front() != '"' && text.front() != '\'')
      return written_value{std::string{trim(text.substr(0, text.find(';')))}, false};
    const char quote = text.front();
    written_value value{"", true};
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (text[i] == quote) {
        if (!ends_here(text.substr(i + 1)))
          return wrong(key + " = " + shown(text) + " goes on after its closing quote");
        return value;
      }
      if (text[i] != '\\' || quote == '\'') {
        value.text += text[i];
        continue;
      }
      constexpr std::string_view names = "\\\"nrt";
      constexpr std::string_view meanings = "\\\"\n\r\t";
      const auto which = ++i < text.size() ? names.find(text[i]) : std::string_view::npos;
      if (which == std::string_view::npos)
        return wrong(key + " = " + shown(text) +
                     R"( has an unknown escape: allowed are \\, \", \n, \r and \t)");
      value.text += meanings[which];
    }
    return wrong(key + " = " + shown(text) + " lacks its closing quote");
  }

  [[nodiscard]] std::string place() const { return name_ + ":" + std::to_string(line_); }
  [[nodiscard]] failure wrong(const std::string& what) const {
    return {ec::bad_argument, place() + ": " + what + (what.ends_with('?') ? "" : ".")};
  }

  std::string name_;
  std::size_t line_ = 0;
  std::string group_;
  std::vector<assignment> found_;
};

failure unreadable(const std::filesystem::path& file, const std::string& why) {
  return {ec::bad_argument,
          "the configuration file " + file.string() + " cannot be read: " + why + "."};
}

} // namespace

result<std::vector<assignment>> parse_config_text(std::string_view text, std::string_view name) {
  return reader{name}.read(text);
}

result<std::vector<assignment>> read_config_file(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found)
    return failure{ec::not_found, "the configuration file " + file.string() +
                                      " does not exist; --config-file=F names another one."};
  if (error)
    return unreadable(file, error.message());
  if (std::filesystem::is_directory(status))
    return unreadable(file, "it is a directory");
  errno = 0;
  std::ifstream in{file, std::ios::binary};
  if (!in)
    return unreadable(file, errno != 0 ? std::strerror(errno) : "it does not open");
  std::string text(config_file_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad())
    return unreadable(file, "reading it failed");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > config_file_bytes_max)
    return unreadable(file,
                      "it is longer than " + std::to_string(config_file_bytes_max) + " bytes");
  return parse_config_text(text, file.string());
}

} // namespace waybill
