// See when.hpp.
#include "apps/waybill/when.hpp"

#include "apps/waybill/duration.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

namespace waybill::cli {

namespace {

/// Takes texts apart from their beginning.
class text_eater {
public:
  explicit text_eater(std::string_view text) : rest_{text} {}
  [[nodiscard]] bool is_empty() const { return rest_.empty(); }
  bool take(char expected) {
    if (rest_.empty() || rest_.front() != expected)
      return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// A number of exactly so many digits, within [low, high].
  std::optional<int> number(std::size_t digits, int low, int high) {
    int value = 0;
    const auto text = rest_.substr(0, digits);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.size() != digits || text.front() == '-' || error != std::errc{} ||
        end != text.data() + text.size() || value < low || value > high)
      return std::nullopt;
    rest_.remove_prefix(digits);
    return value;
  }
  /// What follows a point: milliseconds, of one to nine digits.
  std::optional<int> fraction() {
    const auto digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    if (digits == 0 || digits > 9)
      return std::nullopt;
    auto three = std::string{rest_.substr(0, std::min<std::size_t>(digits, 3))};
    three.resize(3, '0');
    rest_.remove_prefix(digits);
    return std::stoi(three);
  }

private:
  std::string_view rest_;
};

struct clock_time {
  int hour = 0, minute = 0, second = 0, millis = 0;
};

std::optional<clock_time> take_clock(text_eater& from) {
  clock_time t;
  const auto hour = from.number(2, 0, 23);
  if (!hour || !from.take(':'))
    return std::nullopt;
  const auto minute = from.number(2, 0, 59);
  if (!minute)
    return std::nullopt;
  t.hour = *hour;
  t.minute = *minute;
  if (!from.take(':'))
    return t;
  const auto second = from.number(2, 0, 59);
  if (!second)
    return std::nullopt;
  t.second = *second;
  if (!from.take('.'))
    return t;
  const auto millis = from.fraction();
  if (!millis)
    return std::nullopt;
  t.millis = *millis;
  return t;
}

/// `Z`, `+01:00` or `-05:30`: what to take off to come to UTC.
std::optional<std::chrono::minutes> take_offset(text_eater& from) {
  if (from.take('Z'))
    return std::chrono::minutes{0};
  const bool is_east = from.take('+');
  if (!is_east && !from.take('-'))
    return std::nullopt;
  const auto hours = from.number(2, 0, 14);
  from.take(':');
  const auto minutes = from.number(2, 0, 59);
  if (!hours || !minutes)
    return std::nullopt;
  const auto span = std::chrono::hours{*hours} + std::chrono::minutes{*minutes};
  return is_east ? span : -span;
}

wall_time from_local(std::chrono::year_month_day day, const clock_time& at) {
  std::tm local{};
  local.tm_year = static_cast<int>(day.year()) - 1900;
  local.tm_mon = static_cast<int>(static_cast<unsigned>(day.month())) - 1;
  local.tm_mday = static_cast<int>(static_cast<unsigned>(day.day()));
  local.tm_hour = at.hour;
  local.tm_min = at.minute;
  local.tm_sec = at.second;
  local.tm_isdst = -1;
  return wall_time{std::chrono::seconds{std::mktime(&local)}} +
         std::chrono::milliseconds{at.millis};
}

} // namespace

std::optional<wall_time> parse_time(std::string_view text) {
  text_eater from{text};
  const auto year = from.number(4, 1970, 9999);
  if (!year || !from.take('-'))
    return std::nullopt;
  const auto month = from.number(2, 1, 12);
  if (!month || !from.take('-'))
    return std::nullopt;
  const auto number = from.number(2, 1, 31);
  if (!number)
    return std::nullopt;
  const std::chrono::year_month_day day{std::chrono::year{*year},
                                        std::chrono::month{static_cast<unsigned>(*month)},
                                        std::chrono::day{static_cast<unsigned>(*number)}};
  if (!day.ok())
    return std::nullopt;
  clock_time at;
  if (from.take('T') || from.take(' ')) {
    const auto found = take_clock(from);
    if (!found)
      return std::nullopt;
    at = *found;
  }
  if (from.is_empty())
    return from_local(day, at);
  const auto offset = take_offset(from);
  if (!offset || !from.is_empty())
    return std::nullopt;
  return wall_time{std::chrono::sys_days{day}} + std::chrono::hours{at.hour} +
         std::chrono::minutes{at.minute} + std::chrono::seconds{at.second} +
         std::chrono::milliseconds{at.millis} - *offset;
}

std::optional<when> parse_when(std::string_view text) {
  if (const auto span = parse_duration(text))
    return when{*span};
  if (const auto at = parse_time(text))
    return when{*at};
  return std::nullopt;
}

} // namespace waybill::cli
