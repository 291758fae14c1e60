// When people are told that a limit is near.
#include "actors/rules/near_limit.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace waybill;

TEST_CASE("a limit is near beyond four fifths, until below seven tenths", "[limits]") {
  near_limit topics{100};
  CHECK_FALSE(topics.look(80));
  CHECK_FALSE(topics.is_near());
  CHECK(topics.look(81));
  CHECK(topics.is_near());
  CHECK_FALSE(topics.look(100));
  CHECK_FALSE(topics.look(70)); // it wavers, and nobody is told
  CHECK_FALSE(topics.look(85));
  CHECK(topics.look(69));
  CHECK_FALSE(topics.is_near());
  CHECK_FALSE(topics.look(80));
}

TEST_CASE("what must not fall is near below five quarters, until above ten sevenths", "[limits]") {
  near_limit free{1'000, near_limit::bites::below};
  CHECK_FALSE(free.look(1'250));
  CHECK(free.look(1'249));
  CHECK_FALSE(free.look(0));
  CHECK_FALSE(free.look(1'428));
  CHECK(free.look(1'429));
  near_limit unbounded{0, near_limit::bites::below};
  CHECK_FALSE(unbounded.look(0));
}

TEST_CASE("whatever the limit, it is near when it is reached, and not when there is nothing",
          "[limits]") {
  std::mt19937_64 random{7};
  for (std::uint64_t limit = 1; limit < 200; ++limit) {
    near_limit small{limit};
    CHECK(small.look(limit));
    CHECK(small.look(0));
  }
  for (int i = 0; i < 1'000; ++i) {
    const auto limit = 1 + random() % (1ull << 50);
    near_limit each{limit};
    CHECK(each.look(limit));
    CHECK(each.look(limit / 10 * 7 - (limit > 20 ? 7 : 0)) == (limit > 20));
    near_limit least{limit, near_limit::bites::below};
    CHECK(least.look(limit));
    CHECK(least.look(2 * limit));
  }
}
