#include "apps/waybill/letter_choice.hpp"

#include <catch2/catch.hpp>

namespace waybill::cli {
namespace {

using namespace std::chrono_literals;

struct letter {
  std::string why = "nack", reason = "card declined: limit";
  wall_time died{1'000s};
  std::string key = "order-17";
};

constexpr wall_time now{1'060s};

bool chooses(const letter_choice& c, const letter& l = {}) { return c.matches(l, now); }

} // namespace

TEST_CASE("a choice that says nothing is of all dead letters", "[dlq]") {
  CHECK(chooses({}));
  CHECK_FALSE(letter_choice{}.is_set());
}

TEST_CASE("all that a choice says must be true", "[dlq]") {
  letter_choice c;
  c.why = "nack";
  c.reason = "declined";
  c.key = "order-17";
  c.since = wall_time{1'000s};
  CHECK(chooses(c));
  CHECK(c.wants_bodies());
  CHECK_FALSE(chooses(c, {.why = "expired"}));
  CHECK_FALSE(chooses(c, {.reason = "timeout"}));
  CHECK_FALSE(chooses(c, {.died = wall_time{999s}}));
  CHECK_FALSE(chooses(c, {.key = "order-1"}));
}

TEST_CASE("since a span is so long ago", "[dlq]") {
  letter_choice c;
  c.since = 60'000ms;
  CHECK(chooses(c));
  c.since = 59'999ms;
  CHECK_FALSE(chooses(c));
}

} // namespace waybill::cli
