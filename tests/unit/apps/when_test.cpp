#include "apps/waybill/when.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <ctime>

namespace waybill::cli {
namespace {

using namespace std::chrono_literals;

std::optional<std::int64_t> millis(std::string_view text) {
  const auto at = parse_time(text);
  return at ? std::optional{at->time_since_epoch().count()} : std::nullopt;
}

} // namespace

TEST_CASE("a time with a zone is that moment, to the millisecond", "[when]") {
  CHECK(millis("2026-01-31T12:00:00Z") == 1'769'860'800'000);
  CHECK(millis("2026-01-31 12:00Z") == 1'769'860'800'000);
  CHECK(millis("2026-01-31T13:00:00+01:00") == 1'769'860'800'000);
  CHECK(millis("2026-01-31T06:30:00-05:30") == 1'769'860'800'000);
  CHECK(millis("2026-01-31T12:00:00.25Z") == 1'769'860'800'250);
  CHECK(millis("2026-01-31T12:00:00.123456789Z") == 1'769'860'800'123);
  CHECK(millis("1970-01-01T00:00:00Z") == 0);
}

TEST_CASE("a time without a zone is local", "[when]") {
  ::setenv("TZ", "UTC-2", 1); // as POSIX has it: two hours east
  ::tzset();
  CHECK(millis("2026-01-31T14:00") == 1'769'860'800'000);
  CHECK(millis("2026-01-31") == 1'769'810'400'000);
  ::unsetenv("TZ");
  ::tzset();
}

TEST_CASE("what is no time is none", "[when]") {
  for (const auto* text : {"", "now", "2026", "2026-1-31", "2026-02-30T00:00Z", "2026-13-01",
                           "2026-01-31T", "1969-01-01", "2026-01-31T24:00Z", "2026-01-31T12:60Z",
                           "2026-01-31T12:00:00", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00Z ",
                           "2026-01-31T12:00+1", "-026-01-31", "2026-01-31T12Z"}) {
    CAPTURE(text);
    CHECK(parse_time(text).has_value() == (std::string_view{text} == "2026-01-31T12:00:00"));
  }
}

TEST_CASE("a bare number is a span of seconds, and a year no time", "[when]") {
  CHECK(parse_when("90") == when{90'000ms});
  CHECK(parse_when("10m") == when{600'000ms});
  CHECK(parse_when("1970-01-01T00:00:01Z") == when{wall_time{1'000ms}});
  CHECK_FALSE(parse_when("soon"));
}

} // namespace waybill::cli
