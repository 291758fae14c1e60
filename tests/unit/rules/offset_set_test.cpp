// Sets of offsets as ranges, against a set of single offsets.
#include "actors/rules/offset_set.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <set>

namespace waybill {
namespace {

offset_range range(std::uint64_t first, std::uint64_t end) {
  return {message_offset{first}, message_offset{end}};
}

std::vector<offset_range> as_ranges(const std::set<std::uint64_t>& single) {
  std::vector<offset_range> all;
  for (const auto each : single) {
    if (!all.empty() && all.back().end.value == each)
      ++all.back().end.value;
    else
      all.push_back(range(each, each + 1));
  }
  return all;
}

std::vector<offset_range> cut(const std::set<std::uint64_t>& from, offset_range within,
                              bool member) {
  std::set<std::uint64_t> found;
  for (auto o = within.first.value; o < within.end.value; ++o) {
    if (from.contains(o) == member)
      found.insert(o);
  }
  return as_ranges(found);
}

} // namespace

TEST_CASE("ranges that touch become one, and one that is cut becomes two", "[offset_set]") {
  offset_set set;
  CHECK(set.floor() == message_offset{0});
  CHECK(set.add(range(5, 7)) == 2);
  CHECK(set.add(range(0, 5)) == 5);
  CHECK(set.ranges() == std::vector{range(0, 7)});
  CHECK(set.floor() == message_offset{7});
  CHECK(set.add(range(3, 6)) == 0);
  CHECK(set.remove(range(2, 4)) == 2);
  CHECK(set.ranges() == std::vector{range(0, 2), range(4, 7)});
  CHECK(set.end() == message_offset{7});
  CHECK(set.add(range(9, 9)) == 0);
  CHECK(set.add(range(9, 8)) == 0);
  CHECK(set.remove(range(0, UINT64_MAX)) == 5);
  CHECK(set.empty());
}

TEST_CASE("a set of ranges holds what a set of single offsets holds", "[offset_set]") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random{seed};
  const auto below = [&](std::uint64_t n) { return random() % n; };
  for (int history = 0; history < 200; ++history) {
    offset_set set, other;
    std::set<std::uint64_t> single, other_single;
    for (int step = 0; step < 60; ++step) {
      const auto first = below(40);
      const auto r = range(first, first + below(8));
      std::uint64_t changed = 0;
      const bool adds = below(3) != 0;
      for (auto o = r.first.value; o < r.end.value; ++o)
        changed += adds ? single.insert(o).second : single.erase(o);
      REQUIRE((adds ? set.add(r) : set.remove(r)) == changed);
      const auto extra = below(48);
      other.add(range(extra, extra + 2));
      other_single.insert({extra, extra + 1});
      REQUIRE(set.ranges() == as_ranges(single));
      REQUIRE(set.count() == single.size());
      REQUIRE(set.range_count() == as_ranges(single).size());
      const auto from = below(45);
      const auto within = range(from, from + below(20));
      REQUIRE(set.inside(within) == cut(single, within, true));
      REQUIRE(set.outside(within) == cut(single, within, false));
      REQUIRE(set.contains(message_offset{from}) == single.contains(from));
      auto gap = from;
      while (single.contains(gap))
        ++gap;
      REQUIRE(set.first_outside(message_offset{from}).value == gap);
      const auto found = single.lower_bound(from);
      const auto inside = set.first_inside(message_offset{from});
      REQUIRE(inside.has_value() == (found != single.end()));
      if (inside)
        REQUIRE(inside->value == *found);
      std::set<std::uint64_t> both;
      for (const auto o : single) {
        if (other_single.contains(o))
          both.insert(o);
      }
      const auto common = offset_set::intersection(set, other);
      REQUIRE(common == offset_set{as_ranges(both)});
      REQUIRE(common.count() == both.size());
    }
  }
}

} // namespace waybill
