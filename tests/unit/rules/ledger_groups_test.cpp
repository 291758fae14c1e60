// The ledger's books of groups: every message has one place, the dead letters are those that the
// state knows, and a count that is off is found.
#include "tests/unit/rules/books_history.hpp"

#include <catch2/catch.hpp>

namespace waybill::test {
namespace {

TEST_CASE("a dead letter that is missing, extra or told twice is named", "[ledger]") {
  for_histories([](books_history& h) {
    if (h.dead_letters.empty())
      return;
    const auto place = h.draw(h.dead_letters.size());
    const auto [group, offset] = h.dead_letters[place];
    const auto name = "group '" + group + "': ";
    const auto message = "message";
    switch (h.draw(3)) {
    case 0:
      h.dead_letters.erase(h.dead_letters.begin() + static_cast<long>(place));
      REQUIRE(names(h.audit(), name + message));
      REQUIRE(names(h.audit(), "the dead letter is missing in the store"));
      REQUIRE(names(h.audit(), std::to_string(offset.value)));
      break;
    case 1:
      h.basis.state.groups[group == "early" ? 0 : 1].dead_letters.erase(offset);
      REQUIRE(names(h.audit(), name + "message " + std::to_string(offset.value) +
                                   ": the store has a dead letter that the group does not know"));
      break;
    default:
      h.dead_letters.push_back(h.dead_letters[place]);
      REQUIRE(names(h.audit(), name + "the store told a dead letter twice"));
    }
    const auto books = h.audit();
    REQUIRE_FALSE(books.balances);
    REQUIRE_FALSE(books_of(books, group).balances);
  });
}

TEST_CASE("dead letters and deliveries of a group that does not exist are named", "[ledger]") {
  books_history h{7};
  h.dead_letters.emplace_back("gone", message_offset{1});
  h.basis.out.push_back({"lost", {}, {}});
  const auto books = h.audit();
  CHECK(names(books, "the store has 1 dead letters of group 'gone', which does not exist"));
  CHECK(names(books, "held by group 'lost', which does not exist"));
  CHECK_FALSE(books.balances);
}

TEST_CASE("a group's count that is off by one does not balance, and others still do", "[ledger]") {
  const auto which = GENERATE(0, 1, 2, 3, 4, 5);
  for_histories([which](books_history& h) {
    auto& counts = h.basis.state.groups[0].counts;
    std::uint64_t* const each[] = {&counts.arrived,  &counts.acked,  &counts.dead,
                                   &counts.redriven, &counts.purged, &counts.for_others};
    *each[which] += 1;
    const auto books = h.audit();
    REQUIRE_FALSE(books.balances);
    REQUIRE_FALSE(books.groups[0].balances);
    REQUIRE(books.groups[1].balances);
  });
}

TEST_CASE("a message is in one place for its group", "[ledger]") {
  for_histories([](books_history& h) {
    auto& held = h.basis.out[0];
    const auto name = "group '" + held.group + "': ";
    if (!held.leased.empty()) {
      auto spoilt = h;
      const auto one = held.leased[h.draw(held.leased.size())];
      spoilt.basis.out[0].delayed.push_back(one);
      REQUIRE(
          names(spoilt.audit(), name + text_of(one) + ": both out with a consumer and waiting"));
      REQUIRE_FALSE(spoilt.audit().groups[0].balances);
      spoilt = h;
      spoilt.basis.out[0].leased.push_back(one);
      REQUIRE(names(spoilt.audit(), name + "a message is held twice"));
    }
    for (std::uint64_t i = 0; i < h.basis.state.confirmed; ++i) {
      const auto at = h.where(held.group, message_offset{i});
      if (at != place::acked && at != place::dead && at != place::for_others)
        continue;
      auto spoilt = h;
      const offset_range one{message_offset{i}, message_offset{i + 1}};
      spoilt.basis.out[0].leased.push_back(one);
      REQUIRE(names(spoilt.audit(), name + text_of(one) + ": held although it is settled"));
      break;
    }
    // Settled without being counted anywhere: it vanishes, and the books say so.
    if (!held.leased.empty()) {
      auto spoilt = h;
      auto& group = spoilt.basis.state.groups[0];
      group.settled.push_back(spoilt.basis.out[0].leased.back());
      std::ranges::sort(group.settled);
      spoilt.basis.out[0].leased.pop_back();
      const auto books = spoilt.audit();
      REQUIRE_FALSE(books.groups[0].balances);
      REQUIRE(books.groups[1].balances);
    }
  });
}

} // namespace
} // namespace waybill::test
