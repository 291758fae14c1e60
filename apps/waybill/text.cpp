// See text.hpp.
#include "apps/waybill/text.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace waybill::cli {

namespace {

/// Bytes of the UTF-8 character that `rest` begins with; 0: it begins with none.
std::size_t utf8_length(std::string_view rest) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
  const auto follows = [&](std::size_t i) { return i < rest.size() && (at(i) & 0xC0) == 0x80; };
  const unsigned first = at(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xC2 && first <= 0xDF)
    return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!follows(1) || !follows(2))
      return 0;
    if (first == 0xE0 && at(1) < 0xA0) // a longer form of something shorter
      return 0;
    return first == 0xED && at(1) > 0x9F ? 0 : 3; // halves of surrogates are no characters
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3))
      return 0;
    if (first == 0xF0 && at(1) < 0x90)
      return 0;
    return first == 0xF4 && at(1) > 0x8F ? 0 : 4;
  }
  return 0;
}

} // namespace

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3)
    digits.insert(at - 3, ",");
  return digits;
}

std::string fixed(double number, int digits) {
  std::array<char, 64> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, number);
  return {buffer.data(), static_cast<std::size_t>(length)};
}

std::string human_bytes(double bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < units.size(); ++unit)
    bytes /= 1024;
  return fixed(bytes, unit == 0 ? 0 : 1) + " " + units[unit];
}

std::string counted(std::uint64_t number, std::string_view noun) {
  return grouped(number) + " " + std::string{noun} + (number == 1 ? "" : "s");
}

std::string sentence(std::string text) {
  if (text.empty())
    return text;
  if (text.front() >= 'a' && text.front() <= 'z')
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  if (text.find_last_of(".!?") != text.size() - 1)
    text += '.';
  return text;
}

std::string iso_time(wall_time at) {
  const auto since = at.time_since_epoch().count();
  if (since == 0)
    return "-";
  std::time_t seconds = since / 1'000;
  auto rest = since % 1'000;
  if (rest < 0) {
    rest += 1'000;
    --seconds;
  }
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 48> whole{};
  std::snprintf(whole.data(), whole.size(), "%s.%03dZ", date.data(), static_cast<int>(rest));
  return whole.data();
}

bool is_utf8(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const auto length = utf8_length(bytes);
    if (length == 0)
      return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto part = bytes.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (i < part.size() ? static_cast<unsigned char>(part[i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i)
      out += i <= part.size() ? letters[bits >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

std::string printable(std::string_view bytes, std::size_t characters_max) {
  std::string out;
  for (std::size_t characters = 0; !bytes.empty(); ++characters) {
    if (characters >= characters_max)
      return out + "…";
    const auto length = utf8_length(bytes);
    const auto first = static_cast<unsigned char>(bytes[0]);
    const bool second_control =
        length == 2 && first == 0xC2 && static_cast<unsigned char>(bytes[1]) < 0xA0;
    if (length == 0 || first < 0x20 || first == 0x7F || second_control) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", first);
      out += escape.data();
      bytes.remove_prefix(1);
    } else {
      out += bytes.substr(0, length);
      bytes.remove_prefix(length);
    }
  }
  return out;
}

} // namespace waybill::cli
