// Names, message ids and receipts as text, and the one way from a key to its partition.
#include "storage/types.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace waybill {
namespace {

constexpr std::size_t name_bytes_max = 128;
constexpr std::size_t hash_digits = 32;

bool is_name_byte(char c) noexcept { // by hand: the locale must not have a say in it
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

/// The text up to `mark`, which is taken off `rest` together with the mark; nothing: no mark.
std::optional<std::string_view> take_until(std::string_view& rest, char mark) {
  const auto at = rest.find(mark);
  if (at == std::string_view::npos)
    return std::nullopt;
  const auto taken = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return taken;
}

/// All of `text` as a number of this base; nothing when it is anything else, or too large.
template <class Number>
std::optional<Number> whole_number(std::string_view text, int base = 10) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

} // namespace

std::string message_id(std::string_view topic, std::uint32_t partition, message_offset offset) {
  return std::string{topic} + '/' + std::to_string(partition) + '/' + std::to_string(offset.value);
}

std::string to_string(const hash128& hash) {
  char text[hash_digits + 1];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high),
                static_cast<unsigned long long>(hash.low));
  return text;
}

std::string to_string(const receipt& value) {
  return message_id(value.topic, value.partition, value.offset) + '@' +
         std::to_string(value.entry.written.value) + '.' + std::to_string(value.entry.index.value) +
         '.' + to_string(value.entry.hash);
}

std::string partition_name(std::string_view topic, std::uint32_t number) {
  return std::string{topic} + '#' + std::to_string(number);
}

std::optional<receipt> parse_receipt(std::string_view text) {
  auto rest = text;
  const auto topic = take_until(rest, '/');
  const auto partition = take_until(rest, '/');
  const auto offset = take_until(rest, '@');
  const auto written = take_until(rest, '.');
  const auto index = take_until(rest, '.');
  if (!topic || !partition || !offset || !written || !index)
    return std::nullopt;
  if (!is_valid_name(*topic) || rest.size() != hash_digits)
    return std::nullopt;
  const auto partition_number = whole_number<std::uint32_t>(*partition);
  const auto offset_number = whole_number<std::uint64_t>(*offset);
  const auto written_number = whole_number<std::uint64_t>(*written);
  const auto index_number = whole_number<std::uint64_t>(*index);
  const auto high = whole_number<std::uint64_t>(rest.substr(0, hash_digits / 2), 16);
  const auto low = whole_number<std::uint64_t>(rest.substr(hash_digits / 2), 16);
  if (!partition_number || !offset_number || !written_number || !index_number || !high || !low)
    return std::nullopt;
  if (*written_number == 0 || *index_number == 0) // no message lies before the first entry
    return std::nullopt;
  receipt found{std::string{*topic},
                *partition_number,
                message_offset{*offset_number},
                {log_index{*index_number}, epoch{*written_number}, hash128{*high, *low}}};
  // One receipt, one text: leading zeros and upper-case digits would pass all of the above.
  if (to_string(found) != text)
    return std::nullopt;
  return found;
}

bool is_valid_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= name_bytes_max && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), is_name_byte);
}

std::uint32_t partition_of_key(std::string_view key, std::uint32_t partitions) noexcept {
  WAYBILL_ASSERT(partitions > 0);
  std::uint64_t hash = 0xcbf29ce484222325; // the offset basis and prime of FNV-1a, 64 bit
  for (const char c : key) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return static_cast<std::uint32_t>(hash % partitions);
}

} // namespace waybill
