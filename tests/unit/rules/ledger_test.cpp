// The ledger's walk through the log: correct books balance, and whatever is taken out, doubled,
// swapped, forged or wrongly dropped is found and named.
#include "tests/unit/rules/books_history.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <optional>

namespace waybill::test {
namespace {

/// An audited entry of the log that fits; none: the history has none.
std::optional<std::size_t> find_entry(books_history& h,
                                      const std::function<bool(const entry&)>& fits) {
  const auto audited = h.audited();
  const auto start = audited == 0 ? 0 : h.draw(audited);
  for (std::size_t i = 0; i < audited; ++i)
    if (const auto place = (start + i) % audited; fits(h.log[place]))
      return place;
  return std::nullopt;
}
bool has_messages(const entry& e) { return e.message_count > 0; }

TEST_CASE("the books of a correct history balance, and every message has its place", "[ledger]") {
  std::uint64_t dead = 0, delayed = 0, leased = 0, redriven = 0, dropped = 0;
  for_histories([&](books_history& h) {
    const auto books = h.audit();
    INFO(all_of(books));
    REQUIRE(books.faults.empty());
    REQUIRE(books.balances);
    REQUIRE(books.partition == h.basis.partition);
    REQUIRE(books.at == h.basis.state.at);
    REQUIRE(books.entries == h.audited());
    REQUIRE(books.confirmed == h.basis.state.confirmed);
    REQUIRE(books.dropped == h.dropped.messages);
    REQUIRE(books.live + books.dropped == books.confirmed);
    for (const auto& group : books.groups) {
      REQUIRE(group.balances);
      std::map<place, std::uint64_t> at;
      for (std::uint64_t i = 0; i < books.confirmed; ++i)
        ++at[h.where(group.group, message_offset{i})];
      REQUIRE(group.ready == at[place::ready]);
      REQUIRE(group.leased == at[place::leased]);
      REQUIRE(group.delayed == at[place::delayed]);
      REQUIRE(group.dead == at[place::dead]);
      REQUIRE(group.acked == at[place::acked]);
      REQUIRE(group.redriven == at[place::redriven]);
      REQUIRE(group.purged == at[place::purged]);
      REQUIRE(group.for_others == at[place::for_others]);
      REQUIRE(group.arrived == books.confirmed - at[place::not_its]);
      dead += group.dead, delayed += group.delayed, leased += group.leased;
      redriven += group.redriven;
    }
    dropped += books.dropped;
  });
  CHECK((dead > 0 && delayed > 0 && leased > 0 && redriven > 0 && dropped > 0));
}

TEST_CASE("the books of an empty partition balance", "[ledger]") {
  auditor empty{{.topic = "orders", .partition = {topic_id{1}, 3}, .state = {}, .out = {}}, {}};
  const auto books = empty.close();
  CHECK(books.balances);
  CHECK(books.entries == 0);
}

// ---- the log -----------------------------------------------------------------------------------

TEST_CASE("an entry that was taken out is named, with its messages and who needs them",
          "[ledger]") {
  for_histories([](books_history& h) {
    const auto at = find_entry(h, [](const entry&) { return true; });
    if (!at)
      return;
    const auto gone = h.log[*at];
    h.log.erase(h.log.begin() + static_cast<long>(*at));
    const auto books = h.audit();
    INFO("taken out: " << gone.index.value << "\n" << all_of(books));
    REQUIRE_FALSE(books.balances);
    REQUIRE(names(books, "entry " + std::to_string(gone.index.value) + ", with " +
                             text_of(offsets_of(gone)) + ", is missing"));
    REQUIRE(books.confirmed == books.live + books.dropped + gone.message_count);
    REQUIRE_FALSE(names(books, "does not follow")); // one fault, and not its neighbours' as well
    for (const auto* group : {"early", "late"})
      for (auto offset = gone.first_offset; offset < offsets_of(gone).end; ++offset.value)
        if (h.is_needed(group, offset))
          REQUIRE_FALSE(books_of(books, group).balances);
  });
}

TEST_CASE("several entries missing in a row are one fault, with their messages", "[ledger]") {
  books_history whole{7};
  whole.log.clear();
  whole.dropped = {};
  const auto books = whole.audit();
  REQUIRE(books.faults.size() >= 2);
  CHECK(books.faults[0] ==
        "orders#3: entries 1 to " + std::to_string(whole.basis.state.at.index.value) + ", with " +
            text_of({message_offset{0}, whole.basis.state.next_offset}) + ", are missing");
  CHECK_FALSE(books.balances);
}

TEST_CASE("two entries that changed places are named", "[ledger]") {
  for_histories([](books_history& h) {
    const auto at = find_entry(h, [&](const entry& e) { return e.index < h.basis.state.at.index; });
    if (!at || *at + 1 >= h.audited())
      return;
    std::swap(h.log[*at], h.log[*at + 1]);
    const auto books = h.audit();
    INFO(all_of(books));
    REQUIRE_FALSE(books.balances);
    REQUIRE(names(books, "entry " + std::to_string(h.log[*at + 1].index.value) + ", with"));
  });
}

TEST_CASE("an entry that is there twice is named", "[ledger]") {
  for_histories([](books_history& h) {
    const auto at = find_entry(h, [](const entry&) { return true; });
    if (!at)
      return;
    const auto twice = h.log[*at];
    h.log.insert(h.log.begin() + static_cast<long>(*at), twice);
    const auto books = h.audit();
    INFO(all_of(books));
    REQUIRE_FALSE(books.balances);
    REQUIRE(names(books, "entry " + std::to_string(twice.index.value) + ", with " +
                             text_of(offsets_of(twice)) + ", is in the log although"));
  });
}

TEST_CASE("an entry with other bytes is damaged, also when its hash was made to fit", "[ledger]") {
  for_histories([](books_history& h) {
    const auto at = find_entry(h, [](const entry&) { return true; });
    if (!at)
      return;
    auto& e = h.log[*at];
    const auto index = e.index.value;
    e.body = shared_bytes{std::string{e.body.view()} + "!"};
    const auto name = "entry " + std::to_string(index) + ", with " + text_of(offsets_of(e)) + ", ";
    auto books = h.audit();
    REQUIRE_FALSE(books.balances);
    REQUIRE(names(books, name + "is damaged"));
    books_history::seal(e);
    books = h.audit();
    INFO(all_of(books));
    REQUIRE_FALSE(books.balances);
    // Found by whatever follows it: an entry, a dropped range, or the state.
    REQUIRE((names(books, "entry " + std::to_string(index + 1)) ||
             names(books, "entries " + std::to_string(index + 1) + " to") ||
             names(books, name + "is not the one that the state was built from")));
  });
}

/// A log of three batches of two messages, no groups, that tests forge as they like.
struct small_log {
  std::vector<entry> log;
  audit_basis basis;
  dropped_books dropped;
  small_log() {
    basis.topic = "orders";
    basis.partition = {topic_id{77}, 3};
    for (std::uint64_t i = 1; i <= 3; ++i) {
      entry e;
      e.partition = basis.partition;
      e.index = log_index{i};
      e.written = epoch{5};
      e.kind = entry_kind::messages;
      e.first_offset = message_offset{i * 2 - 2};
      e.message_count = 2;
      e.stamped = wall_time{milliseconds{10}};
      log.push_back(e);
    }
    basis.state.next_offset = message_offset{6};
    basis.state.confirmed = 6;
  }
  audited_partition audit() { // the chain made to fit whatever the fields are
    hash128 previous;
    for (auto& each : log) {
      each.previous = previous;
      books_history::seal(each);
      previous = each.hash;
    }
    basis.state.at = position_of(log.back());
    auditor a{basis, dropped};
    for (const auto& each : log)
      a.entry(each);
    return a.close();
  }
};

TEST_CASE("fields that do not fit are found although the chain is whole", "[ledger]") {
  small_log s;
  REQUIRE(s.audit().balances);
  const auto finds = [&](const std::string& words) {
    const auto books = s.audit();
    INFO(all_of(books));
    CHECK_FALSE(books.balances);
    CHECK(names(books, words));
  };
  SECTION("messages that lie in two entries") {
    s.log[1].first_offset = message_offset{1};
    finds("entry 2 has message 1 a second time");
  }
  SECTION("messages that lie in no entry") {
    s.log[1].first_offset = message_offset{3};
    finds("message 2 should lie before entry 2, but no entry has them");
  }
  SECTION("an epoch that falls") {
    s.log[1].written = epoch{4};
    finds("entry 2, with messages 2 to 3, was written in an earlier epoch");
  }
  SECTION("a stamp that falls") {
    s.log[2].stamped = wall_time{milliseconds{9}};
    finds("entry 3, with messages 4 to 5, has an earlier stamp");
  }
  SECTION("messages in an entry that carries none, and a batch without any") {
    s.log[1].kind = entry_kind::delivery;
    finds("entry 2 is of a kind");
    s.log[1].kind = entry_kind::messages;
    s.log[1].message_count = 0;
    finds("entry 2 is of a kind");
  }
  SECTION("another partition's entry") {
    s.log[1].partition.number = 4;
    finds("entry 2 belongs to another partition");
  }
  SECTION("a log that ends before the state says") {
    s.basis.state.next_offset = message_offset{7};
    finds("the log ends before message 6, the state before message 7");
  }
  SECTION("a count of confirmed messages that is not theirs") {
    s.basis.state.confirmed = 7;
    const auto books = s.audit();
    CHECK_FALSE(books.balances);
    CHECK(books.faults.empty());
  }
}

TEST_CASE("a log that could not be read to its end does not balance", "[ledger]") {
  auditor a{{.topic = "orders", .partition = {topic_id{1}, 3}, .state = {}, .out = {}}, {}};
  a.unreadable("the disk says no");
  const auto books = a.close();
  CHECK_FALSE(books.balances);
  CHECK(names(books, "the disk says no"));
}

TEST_CASE("more faults than can be named are counted", "[ledger]") {
  auditor a{{.topic = "orders", .partition = {topic_id{1}, 3}, .state = {}, .out = {}}, {}};
  for (int i = 0; i < 1'005; ++i)
    a.unreadable("again");
  const auto books = a.close();
  CHECK(books.faults.size() == 1'001);
  CHECK(books.faults.back() == "orders#3: 5 further faults");
}

// ---- dropped ranges ----------------------------------------------------------------------------

TEST_CASE("a dropped range whose edges do not fit is named", "[ledger]") {
  struct way {
    std::function<void(dropped_books&, dropped_range&)> spoil;
    std::vector<std::string> faults; ///< one of these, by what lies behind the range
  };
  const std::vector<way> ways{
      {[](auto&, auto& r) { ++r.before.low; }, {"does not follow the entry before it: the chain"}},
      {[](auto&, auto& r) { ++r.after.low; },
       {"does not follow the entry before it: the chain", "does not end with the hash"}},
      {[](auto&, auto& r) { ++r.entries.last.value; }, {"is in the log although", "reaches past"}},
      {[](auto&, auto& r) { ++r.entries.first.value; }, {"is missing", "does not begin behind"}},
      {[](auto&, auto& r) { ++r.offsets.first.value; }, {"should begin with message"}},
      {[](auto&, auto& r) { ++r.offsets.end.value; }, {"a second time", "the log ends before"}},
      {[](auto& all, auto&) { ++all.messages; }, {"were counted as they were dropped"}}};
  for (const auto& each : ways) {
    for_histories([&](books_history& h) {
      auto& ranges = h.dropped.ranges;
      if (ranges.empty())
        return;
      each.spoil(h.dropped, ranges[h.draw(ranges.size())]);
      const auto books = h.audit();
      INFO(each.faults.front() << "\n" << all_of(books));
      REQUIRE_FALSE(books.balances);
      REQUIRE(std::ranges::any_of(each.faults,
                                  [&](const std::string& words) { return names(books, words); }));
    });
  }
}

TEST_CASE("dropped ranges that overlap, or run backwards, are named", "[ledger]") {
  small_log s;
  REQUIRE(s.audit().balances);
  s.basis.state.at = position_of(s.log[2]);
  const auto range = [&](std::uint64_t first, std::uint64_t last) {
    return dropped_range{{log_index{first}, log_index{last}},
                         s.log[first - 1].previous,
                         s.log[last - 1].hash,
                         {s.log[first - 1].first_offset, offsets_of(s.log[last - 1]).end}};
  };
  auto last_wrong = range(1, 3);
  ++last_wrong.after.low;
  const std::vector<std::pair<std::vector<dropped_range>, std::string>> cases{
      {{range(1, 2), range(2, 3)}, "entries 2 to 3, with messages 2 to 5, does not begin behind"},
      {{range(1, 3), range(3, 2)}, "entries 3 to 2, with no messages, does not begin behind"},
      {{range(2, 1), range(1, 3)},
       "entries 2 to 1, with no messages, does not begin behind the entry before it"},
      {{last_wrong}, "does not end with the hash that the state has there"}};
  for (const auto& [ranges, words] : cases) {
    auditor a{s.basis, {ranges, 6}};
    const auto books = a.close();
    INFO(words << "\n" << all_of(books));
    CHECK_FALSE(books.balances);
    CHECK(names(books, words));
  }
}

TEST_CASE("a dropped range that is not told is missing, and named with its messages", "[ledger]") {
  for_histories([](books_history& h) {
    if (h.dropped.ranges.empty())
      return;
    const auto place = static_cast<long>(h.draw(h.dropped.ranges.size()));
    const auto gone = h.dropped.ranges[static_cast<std::size_t>(place)];
    h.dropped.ranges.erase(h.dropped.ranges.begin() + place);
    const auto books = h.audit();
    INFO(all_of(books));
    REQUIRE_FALSE(books.balances);
    REQUIRE(names(
        books, "with " + text_of(gone.offsets) +
                   (gone.entries.first == gone.entries.last ? ", is missing" : ", are missing")));
  });
}

TEST_CASE("a message that a group needs must not be dropped", "[ledger]") {
  for_histories([](books_history& h) {
    const auto at = find_entry(h, [&](const entry& e) { return h.is_needed(e); });
    if (!at)
      return;
    const auto e = h.log[*at];
    h.log.erase(h.log.begin() + static_cast<long>(*at));
    const dropped_range range{{e.index, e.index}, e.previous, e.hash, offsets_of(e)};
    const auto place = std::ranges::find_if(
        h.dropped.ranges, [&](const dropped_range& each) { return each.entries.first > e.index; });
    h.dropped.ranges.insert(place, range);
    h.dropped.messages += e.message_count;
    const auto books = h.audit();
    INFO(all_of(books));
    REQUIRE(books.confirmed == books.live + books.dropped);
    REQUIRE_FALSE(books.balances);
    for (const std::string group : {"early", "late"}) {
      std::uint64_t ready = 0; // counted from what is there
      for (std::uint64_t i = 0; i < books.confirmed; ++i)
        ready += h.where(group, message_offset{i}) == place::ready &&
                 (i < e.first_offset.value || i >= offsets_of(e).end.value);
      REQUIRE(books_of(books, group).ready == ready);
    }
    for (const std::string group : {"early", "late"}) {
      bool needed = false;
      for (auto offset = e.first_offset; offset < offsets_of(e).end; ++offset.value)
        needed = needed || h.is_needed(group, offset);
      REQUIRE(books_of(books, group).balances != needed);
      REQUIRE(names(books, "group '" + group + "': message") == needed);
    }
  });
}

TEST_CASE("an entry that is in the log and in a dropped range is named", "[ledger]") {
  for_histories([](books_history& h) {
    const auto at = find_entry(h, has_messages);
    if (!at)
      return;
    const auto& e = h.log[*at];
    const auto place = std::ranges::find_if(
        h.dropped.ranges, [&](const dropped_range& each) { return each.entries.first > e.index; });
    h.dropped.ranges.insert(place, {{e.index, e.index}, e.previous, e.hash, offsets_of(e)});
    h.dropped.messages += e.message_count;
    const auto books = h.audit();
    REQUIRE_FALSE(books.balances);
    REQUIRE(names(books, "entry " + std::to_string(e.index.value) + ", with"));
  });
}

TEST_CASE("what was dropped behind the audited position is left out of the books", "[ledger]") {
  for_histories([](books_history& h) {
    const auto end = h.basis.state.at.index;
    REQUIRE(h.log.back().index > end);
    const auto first = *std::ranges::find_if(h.log, [&](const entry& e) { return e.index > end; });
    const auto last = h.log.back();
    h.dropped.ranges.push_back({{first.index, last.index},
                                first.previous,
                                last.hash,
                                {first.first_offset, offsets_of(last).end}});
    const auto before = h.dropped.messages;
    h.dropped.messages += offsets_of(last).end.value - first.first_offset.value;
    std::erase_if(h.log, [&](const entry& e) { return e.index > end; });
    const auto books = h.audit();
    INFO(all_of(books));
    REQUIRE(books.balances);
    REQUIRE(books.dropped == before);
  });
}

TEST_CASE("a dropped range that reaches past the audited position is named", "[ledger]") {
  small_log s;
  REQUIRE(s.audit().balances);
  auto& e = s.log[2];
  s.basis.state.at = position_of(e);
  auditor a{s.basis,
            {{{{log_index{3}, log_index{4}}, e.previous, {1, 1}, {e.first_offset, {6}}}}, 2}};
  a.entry(s.log[0]);
  a.entry(s.log[1]);
  const auto books = a.close();
  CHECK_FALSE(books.balances);
  CHECK(names(books, "the dropped range of entries 3 to 4, with messages 4 to 5, reaches past"));
}

} // namespace
} // namespace waybill::test
