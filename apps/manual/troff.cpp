// See troff.hpp.
#include "apps/manual/troff.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace waybill::manual {

namespace {

/// One letter of UTF-8, taken off the front of `text`.
std::uint32_t take_letter(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  std::uint32_t letter = size == 1 ? first : first & (0x7fu >> size);
  for (std::size_t i = 1; i < size && i < text.size(); ++i)
    letter = letter << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  text.remove_prefix(std::min(size, text.size()));
  return letter;
}

/// What stands between two `` ` `` in the face of what is typed, all else escaped.
std::string with_typed(std::string_view text) {
  std::string result;
  while (true) {
    const auto begin = text.find('`');
    const auto end = begin == std::string_view::npos ? begin : text.find('`', begin + 1);
    if (end == std::string_view::npos)
      return result + escaped(text);
    result += escaped(text.substr(0, begin)) + bold(text.substr(begin + 1, end - begin - 1));
    text.remove_prefix(end + 1);
  }
}

/// A line that begins with a sign that troff takes for a request says first that it is text.
std::string as_text(std::string formatted) {
  if (formatted.starts_with('.') || formatted.starts_with('\'') || formatted.starts_with("\\(aq"))
    formatted.insert(0, "\\&");
  return formatted;
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(' ');
  return begin == std::string_view::npos
             ? std::string_view{}
             : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

} // namespace

std::string escaped(std::string_view text) {
  constexpr std::array<std::pair<char, const char*>, 6> special{{{'\\', "\\e"},
                                                                 {'-', "\\-"},
                                                                 {'\'', "\\(aq"},
                                                                 {'`', "\\(ga"},
                                                                 {'^', "\\(ha"},
                                                                 {'~', "\\(ti"}}};
  std::string result;
  while (!text.empty()) {
    const auto letter = take_letter(text);
    if (letter >= 0x80) {
      std::array<char, 16> name{};
      std::snprintf(name.data(), name.size(), "\\[u%04X]", letter);
      result += name.data();
      continue;
    }
    const auto found =
        std::ranges::find(special, static_cast<char>(letter), &std::pair<char, const char*>::first);
    if (found == special.end())
      result += static_cast<char>(letter);
    else
      result += found->second;
  }
  return result;
}

std::string bold(std::string_view text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escaped(text) + "\\fR"; }

man_page::man_page(const std::string& name, const std::string& section,
                   const std::string& version) {
  std::string title = name;
  std::ranges::transform(title, title.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  text_ = ".\\\" Written by the build, from the same text as --help.\n.TH " + escaped(title) + " " +
          section + " \"\" \"Waybill " + version + "\" \"Waybill\"\n" +
          // No hyphenation, and no stretched lines: both come between people and what they copy.
          ".nh\n.ad l\n";
}

void man_page::heading(std::string_view title) { text_ += ".SH " + escaped(title) + "\n"; }

void man_page::subheading(std::string_view title) { text_ += ".SS " + escaped(title) + "\n"; }

void man_page::line(const std::string& formatted) { text_ += as_text(formatted) + "\n"; }

void man_page::line_break() { text_ += ".br\n"; }

void man_page::paragraph(std::string_view text) {
  text_ += ".PP\n" + as_text(with_typed(text)) + "\n";
}

void man_page::verbatim(const std::vector<std::string>& lines) {
  text_ += ".PP\n.RS 4\n.nf\n";
  for (const auto& each : lines)
    line(escaped(each));
  text_ += ".fi\n.RE\n";
}

void man_page::item(const std::string& formatted, std::string_view text,
                    const std::vector<std::string>& more) {
  text_ += ".TP\n" + as_text(formatted) + "\n" + as_text(with_typed(text)) + "\n";
  for (const auto& each : more)
    text_ += ".br\n" + as_text(with_typed(each)) + "\n";
}

prose read_prose(std::string_view text) {
  enum class inside : std::uint8_t { nothing, paragraph, lines, examples, exit_status };
  prose result;
  auto now = inside::nothing;
  const auto add = [](std::string& to, std::string_view words) {
    to += (to.empty() ? "" : " ") + std::string{words};
  };
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with("Example:") || line.starts_with("Examples:")) {
      now = inside::examples;
      if (const auto rest = trimmed(line.substr(line.find(':') + 1)); !rest.empty())
        result.examples.emplace_back(rest);
    } else if (line.starts_with("Exit status:")) {
      now = inside::exit_status;
      add(result.exit_status, trimmed(line.substr(12)));
    } else if (trimmed(line).empty()) {
      now = inside::nothing;
    } else if (now == inside::examples && line.starts_with(' ')) {
      result.examples.emplace_back(trimmed(line));
    } else if (now == inside::exit_status) {
      add(result.exit_status, trimmed(line));
    } else if (line.starts_with("  ")) {
      if (std::exchange(now, inside::lines) != inside::lines)
        result.pieces.emplace_back();
      result.pieces.back().lines.emplace_back(line.substr(2));
    } else {
      if (std::exchange(now, inside::paragraph) != inside::paragraph)
        result.pieces.emplace_back();
      add(result.pieces.back().paragraph, trimmed(line));
    }
  }
  return result;
}

} // namespace waybill::manual
