// See duration.hpp.
#include "apps/waybill/duration.hpp"

#include <charconv>
#include <cmath>

namespace waybill::cli {

namespace {

constexpr double longest_ms = 10'000.0 * 24 * 3'600'000;

double unit_ms(std::string_view unit) {
  if (unit == "ms")
    return 1;
  if (unit == "s" || unit.empty())
    return 1'000;
  if (unit == "m" || unit == "min")
    return 60'000;
  if (unit == "h")
    return 3'600'000;
  if (unit == "d")
    return 24.0 * 3'600'000;
  return 0;
}

} // namespace

std::optional<milliseconds> parse_duration(std::string_view text) {
  const auto unit_at = text.find_first_not_of("0123456789.");
  const std::string_view digits = text.substr(0, unit_at);
  const double unit =
      unit_ms(unit_at == std::string_view::npos ? std::string_view{} : text.substr(unit_at));
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value,
                                            std::chars_format::fixed);
  if (error != std::errc{} || end != digits.data() + digits.size() || unit == 0)
    return std::nullopt;
  const double span = value * unit;
  if (!(span >= 0 && span <= longest_ms))
    return std::nullopt;
  return milliseconds{std::llround(span)};
}

std::string to_string(milliseconds span) {
  const auto count = span.count();
  if (count != 0 && count % 3'600'000 == 0)
    return std::to_string(count / 3'600'000) + "h";
  if (count != 0 && count % 60'000 == 0)
    return std::to_string(count / 60'000) + "m";
  if (count != 0 && count % 1'000 == 0)
    return std::to_string(count / 1'000) + "s";
  return std::to_string(count) + "ms";
}

} // namespace waybill::cli
