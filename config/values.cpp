// How a written value becomes a typed one, and back; and where a node may listen.
#include "config/options.hpp"

#include "storage/assert.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace waybill {

namespace {

enum class reading : std::uint8_t { fine, wrong_type, out_of_range };

struct read_value {
  reading how = reading::wrong_type;
  setting_value value;
};

struct read_count {
  reading how = reading::wrong_type;
  std::uint64_t value = 0;
  std::string_view rest; ///< what follows the digits
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// `[+-]digits` or `[+-]0xdigits`, then whatever follows. A leading zero is refused: some read it
/// as octal and some do not.
read_count leading_count(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+'))
    text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.empty() || !is_digit(text[0]) ||
             (text.size() > 1 && text[0] == '0' && is_digit(text[1]))) {
    return {};
  }
  read_count result;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), result.value, base);
  if (error == std::errc::invalid_argument)
    return {};
  result.rest = text.substr(static_cast<std::size_t>(end - text.data()));
  const bool too_large = error == std::errc::result_out_of_range;
  const bool below_zero = negative && result.value != 0;
  result.how = too_large || below_zero ? reading::out_of_range : reading::fine;
  return result;
}

struct multiple {
  std::string_view suffix;
  std::uint64_t factor;
};

constexpr std::array byte_units{
    multiple{"", 1},
    multiple{"KiB", std::uint64_t{1} << 10},
    multiple{"MiB", std::uint64_t{1} << 20},
    multiple{"GiB", std::uint64_t{1} << 30},
    multiple{"TiB", std::uint64_t{1} << 40},
};

constexpr std::array plain_unit{multiple{"", 1}};

constexpr std::array time_units{
    multiple{"ns", 1},
    multiple{"us", 1'000},
    multiple{"ms", 1'000'000},
    multiple{"s", 1'000'000'000},
    multiple{"min", 60'000'000'000},
    multiple{"h", 3'600'000'000'000},
};

read_count with_unit(std::string_view text, std::span<const multiple> units) {
  auto number = leading_count(text);
  if (number.how == reading::wrong_type)
    return number;
  const auto unit = std::ranges::find(units, number.rest, &multiple::suffix);
  if (unit == units.end())
    return {};
  if (number.value > std::numeric_limits<std::uint64_t>::max() / unit->factor)
    number.how = reading::out_of_range;
  number.value *= unit->factor;
  return number;
}

read_value read_span(std::string_view text) {
  const auto nanoseconds = with_unit(text, time_units);
  if (nanoseconds.how != reading::fine)
    return {nanoseconds.how, milliseconds{}};
  if (nanoseconds.value % 1'000'000 != 0)
    return {reading::out_of_range, milliseconds{}};
  return {reading::fine, milliseconds{nanoseconds.value / 1'000'000}};
}

read_value read_factor(std::string_view text) {
  if (text.starts_with('+'))
    text.remove_prefix(1);
  double value = 0;
  const auto end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end || error == std::errc::invalid_argument)
    return {};
  if (error == std::errc::result_out_of_range || !std::isfinite(value))
    return {reading::out_of_range, 0.0};
  return {reading::fine, value};
}

/// Reads what was written as the type that `like` has.
read_value read_as(const setting_value& like, const option& key, const written_value& written) {
  if (std::holds_alternative<std::string>(like))
    return {reading::fine, written.text};
  if (written.quoted)
    return {};
  if (std::holds_alternative<bool>(like)) {
    const bool known = written.text == "true" || written.text == "false";
    return {known ? reading::fine : reading::wrong_type, written.text == "true"};
  }
  if (std::holds_alternative<std::uint64_t>(like)) {
    const auto count = key.unit == "bytes" ? with_unit(written.text, byte_units)
                                           : with_unit(written.text, plain_unit);
    return {count.how, count.value};
  }
  if (std::holds_alternative<milliseconds>(like))
    return read_span(written.text);
  return read_factor(written.text);
}

bool is_host_name(std::string_view text) {
  const auto fits = [](unsigned char c) {
    return is_digit(static_cast<char>(c)) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '.';
  };
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, fits) &&
         text.front() != '-' && text.front() != '.' && text.find("..") == std::string_view::npos;
}

bool is_ipv4(const std::string& text) {
  in_addr address{};
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& text) {
  in6_addr address{};
  return inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (text.empty() || stop != end || error != std::errc{})
    return std::nullopt;
  return port;
}

} // namespace

bool listen_address::is_loopback() const {
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1)
    return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  if (inet_pton(AF_INET6, host.c_str(), &six) == 1)
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
  return host == "localhost";
}

std::string to_string(const listen_address& address) {
  const bool six = address.host.find(':') != std::string::npos;
  return (six ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

std::optional<listen_address> parse_listen_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return std::nullopt;
  const auto port = parse_port(text.substr(colon + 1));
  if (!port)
    return std::nullopt;
  std::string host{text.substr(0, colon)};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    return is_ipv6(host) ? std::optional{listen_address{std::move(host), *port}} : std::nullopt;
  }
  // Digits and dots alone are an address, and then a whole one: some resolvers read 127.1 as
  // 127.0.0.1.
  const bool numeric = host.find_first_not_of("0123456789.") == std::string::npos;
  if (host == "*" || (numeric ? is_ipv4(host) : is_host_name(host)))
    return listen_address{std::move(host), *port};
  return std::nullopt;
}

std::string to_string(const setting_value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    std::string quoted = "\"";
    for (const char c : *text) {
      if (c == '"' || c == '\\')
        quoted += '\\';
      quoted += c;
    }
    return quoted + "\"";
  }
  if (const auto* on = std::get_if<bool>(&value))
    return *on ? "true" : "false";
  if (const auto* count = std::get_if<std::uint64_t>(&value))
    return to_string(limit_value{*count});
  if (const auto* span = std::get_if<milliseconds>(&value))
    return to_string(limit_value{*span});
  return to_string(limit_value{std::get<double>(value)});
}

std::optional<std::string> assign(const option& key, const written_value& written,
                                  node_settings& to) {
  const auto like = key.read(to);
  const auto given = read_as(like, key, written);
  if (given.how == reading::fine) {
    WAYBILL_ASSERT(given.value.index() == like.index());
    if (key.write(to, given.value))
      return std::nullopt;
  }
  std::string problem = "is out of range";
  if (given.how == reading::wrong_type)
    problem = "is of the wrong type";
  else if (std::holds_alternative<std::string>(like))
    problem = "is not valid";
  return problem + ": allowed is " + key.allowed;
}

} // namespace waybill
