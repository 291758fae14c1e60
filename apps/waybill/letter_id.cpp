// See letter_id.hpp.
#include "apps/waybill/letter_id.hpp"

#include <charconv>

namespace waybill::cli {

namespace {

template <class Integer>
bool read_whole(std::string_view text, Integer& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc{} && end == text.data() + text.size();
}

} // namespace

std::optional<letter_id> parse_letter_id(std::string_view text, std::string_view topic) {
  if (text.starts_with(topic) && text.substr(topic.size()).starts_with('/') &&
      text.substr(topic.size() + 1).find('/') != std::string_view::npos)
    text.remove_prefix(topic.size() + 1);
  const auto slash = text.find('/');
  letter_id id;
  if (slash == std::string_view::npos || !read_whole(text.substr(0, slash), id.partition) ||
      !read_whole(text.substr(slash + 1), id.offset.value))
    return std::nullopt;
  return id;
}

} // namespace waybill::cli
