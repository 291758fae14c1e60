#include "actors/rules/placement.hpp"

#include "storage/types.hpp"

#include <algorithm>

namespace waybill {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

/// The pieces between commas; an empty text has none.
std::vector<std::string_view> pieces(std::string_view text) {
  std::vector<std::string_view> result;
  if (trimmed(text).empty())
    return result;
  for (std::size_t begin = 0;;) {
    const auto end = text.find(',', begin);
    result.push_back(trimmed(text.substr(begin, end - begin)));
    if (end == std::string_view::npos)
      return result;
    begin = end + 1;
  }
}

/// A name, in which `*` may stand for letters.
bool is_pattern(std::string_view text) {
  if (text.empty() || text.size() > 128 || text.front() == '.')
    return false;
  std::string name{text};
  std::ranges::replace(name, '*', 'x');
  return is_valid_name(name);
}

bool is_pattern(std::string_view text, placed_at at) {
  if (at == placed_at::topic)
    return is_pattern(text);
  const auto slash = text.find('/');
  return slash != std::string_view::npos && is_pattern(text.substr(0, slash)) &&
         is_pattern(text.substr(slash + 1));
}

failure wrong(std::string_view piece, std::string_view form) {
  return {ec::bad_argument,
          "\"" + std::string{piece.substr(0, 80)} + "\" is not " + std::string{form}};
}

} // namespace

result<std::vector<placement>> parse_placements(std::string_view text, placed_at at) {
  const std::string_view form = at == placed_at::topic
                                    ? "TOPIC=NAME, such as orders=checker or billing.*=checker"
                                    : "TOPIC/GROUP=NAME, such as orders/billing=desk or */*=desk";
  std::vector<placement> result;
  for (const auto piece : pieces(text)) {
    const auto equals = piece.find('=');
    if (equals == std::string_view::npos)
      return wrong(piece, form);
    const auto pattern = trimmed(piece.substr(0, equals));
    const auto name = trimmed(piece.substr(equals + 1));
    if (!is_pattern(pattern, at) || !is_valid_name(name))
      return wrong(piece, form);
    result.push_back({std::string{pattern}, std::string{name}});
  }
  return result;
}

result<std::vector<std::string>> parse_names(std::string_view text) {
  std::vector<std::string> result;
  for (const auto piece : pieces(text)) {
    if (!is_valid_name(piece))
      return wrong(piece, "a name");
    result.emplace_back(piece);
  }
  return result;
}

/// Goes back to the last star when what follows it does not fit: no more steps than both lengths
/// multiplied, and both are short.
bool matches(std::string_view pattern, std::string_view name) noexcept {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;
  std::size_t from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*')
    ++p;
  return p == pattern.size();
}

} // namespace waybill
