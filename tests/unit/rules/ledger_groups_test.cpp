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

/// Audits what the history says now against the state that it came to meanwhile.
audited_partition audit_at_work(const books_history& h, const partition_snapshot& later) {
  auditor a{h.basis, h.dropped};
  for (const auto& each : h.log)
    a.entry(each);
  for (const auto& [group, offset] : h.dead_letters)
    a.dead_letter(group, offset);
  a.meanwhile(later);
  return a.close();
}

TEST_CASE("dead letters that came or went while they were read are no fault", "[ledger]") {
  int seen = 0;
  for_histories([&](books_history& h) {
    auto later = h.basis.state;
    REQUIRE(audit_at_work(h, later).balances);
    auto& group = later.groups[0];
    const auto own =
        std::ranges::find(h.dead_letters, group.group, [](const auto& each) { return each.first; });
    std::uint64_t needed = 0;
    while (needed < h.basis.state.confirmed && !h.is_needed("early", message_offset{needed}))
      ++needed;
    if (own == h.dead_letters.end() || needed == h.basis.state.confirmed)
      return;
    ++seen;
    const auto gone = own->second;
    h.dead_letters.erase(own);
    h.dead_letters.emplace_back("early", message_offset{needed});
    REQUIRE(names(audit_at_work(h, later), "message " + std::to_string(gone.value) +
                                               ": the dead letter is missing in the store"));
    REQUIRE(names(audit_at_work(h, later), "message " + std::to_string(needed) +
                                               ": the store has a dead letter that the group"));
    group.dead_letters.erase(gone);
    group.settled.push_back({message_offset{needed}, message_offset{needed + 1}});
    std::ranges::sort(group.settled);
    // Another one came and died since.
    h.dead_letters.emplace_back("early", later.next_offset);
    REQUIRE(names(h.audit(), "the store has a dead letter that the group does not know"));
    group.settled.push_back({later.next_offset, message_offset{later.next_offset.value + 1}});
    later.next_offset.value += 1;
    const auto books = audit_at_work(h, later);
    INFO(all_of(books));
    REQUIRE(books.balances);
    REQUIRE(books.groups[0].dead == h.basis.state.groups[0].dead_letters.size());
    h.dead_letters.emplace_back("early", gone); // and one that was settled all the time is a fault
    std::uint64_t settled = 0;
    while (settled < h.basis.state.confirmed &&
           h.where("early", message_offset{settled}) != place::acked)
      ++settled;
    h.dead_letters.emplace_back("early", message_offset{settled});
    REQUIRE_FALSE(audit_at_work(h, later).balances);
    later.groups.erase(later.groups.begin()); // the group itself was removed
    std::erase_if(h.dead_letters, [](const auto& each) { return each.first == "early"; });
    REQUIRE(audit_at_work(h, later).balances);
  });
  CHECK(seen > 0);
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
