// Dropping: what nobody needs goes, what somebody needs stays, and the books say which is which.
#include "tests/unit/storage/store_fixture.hpp"

#include <algorithm>
#include <random>

namespace waybill {
namespace {

using test::check_equal;
using test::must;

/// Every entry is there or in a dropped range, the edges carry the chain's hashes, and the count of
/// messages is that of the entries.
void check_books(const dropped_books& books, const test::log_maker& log,
                 const std::vector<entry>& live) {
  std::uint64_t messages = 0;
  std::uint64_t gone = 0;
  std::uint64_t last = 0;
  for (const auto& range : books.ranges) {
    REQUIRE(range.entries.first.value > last + (last == 0 ? 0 : 1)); // disjoint, merged
    last = range.entries.last.value;
    CHECK(range.before == log.at(range.entries.first.value).previous);
    CHECK(range.after == log.at(last).hash);
    CHECK(range.offsets.first == log.at(range.entries.first.value).first_offset);
    CHECK(range.offsets.end == offsets_of(log.at(last)).end);
    for (auto i = range.entries.first.value; i <= last; ++i) {
      messages += log.at(i).message_count;
      ++gone;
    }
  }
  CHECK(books.messages == messages);
  CHECK(gone + live.size() == log.all().size());
  for (const auto& e : live)
    CHECK(e.hash == log.at(e.index.value).hash);
}

TEST_CASE("a generation in which nothing lives is destroyed whole", "[store][drop]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 36; ++i)
    store.write({log.next(2)});
  CHECK(store.tidy_all() == 1); // no checkpoint says that anything is dead
  CHECK(store->statistics().generations == 4);
  store.checkpoint_at_end(log);
  CHECK(store.tidy_all() == 3);
  CHECK(store->statistics().generations == 1);
  CHECK(store->statistics().generations_destroyed == 3);
  CHECK(store->statistics().entries_rewritten == 0);
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    const auto live = store.read_all(log.partition());
    CHECK(live.size() == 6);
    const auto books = must(store->dropped(log.partition()));
    CHECK(books.ranges.size() == 1);
    CHECK(books.messages == 60);
    check_books(books, log, live);
    CHECK_FALSE(must(store->entry_at(log.partition(), log_index{30})));
    CHECK_FALSE(must(store->entry_with(log.partition(), message_offset{5})));
    CHECK(must(store->first_message(log.partition(), message_offset{5})) == message_offset{60});
    CHECK_FALSE(must(store->current(log.partition())).damage);
  }
  store.write({log.next()});
  CHECK(store.read_all(log.partition()).size() == 7);
}

TEST_CASE("an entry that no checkpoint covers keeps its generation", "[store][drop]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto settled = store.begin(1);
  auto behind = store.begin(2);
  store.write({behind.next()});
  for (int i = 0; i < 25; ++i)
    store.write({settled.next()});
  store.checkpoint_at_end(settled);
  store.tidy_all();
  CHECK(store->statistics().generations == 2); // the second one is gone
  CHECK(store.read_all(behind.partition()).size() == 1);
  CHECK(store->statistics().entries_rewritten == 0);
  store.checkpoint_at_end(behind);
  store.tidy_all();
  CHECK(store->statistics().generations == 1);
}

TEST_CASE("a message that is stuck stays alone, and the disk stays small", "[store][drop]") {
  test::store_fixture store;
  store.options.generation_bytes = 400'000;
  store.options.write_buffer_bytes = 1u << 16;
  store.open();
  auto log = store.begin(1);
  const std::vector<offset_range> stuck{{message_offset{7}, message_offset{8}}};
  for (int i = 0; i < 300; ++i) {
    store.write(log.next_many(5, 1, 4'000));
    if (i % 10 == 9) {
      store.checkpoint_at_end(log, stuck);
      store.tidy_all();
    }
  }
  store.reopen(); // whose own thread has removed what was destroyed
  CHECK(store->statistics().generations <= 3);
  CHECK(store.disk_bytes() < 6 * store.options.generation_bytes); // of 6 MB that were written
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    const auto found = must(store->entry_with(log.partition(), message_offset{7}));
    REQUIRE(found);
    CHECK(found->hash == log.at(8).hash);
    CHECK(found->body == log.at(8).body);
    CHECK(must(store->first_message(log.partition(), message_offset{0})) == message_offset{7});
    const auto live = store.read_all(log.partition());
    CHECK(live.front().index == log_index{8});
    const auto books = must(store->dropped(log.partition()));
    CHECK(books.ranges.size() == 2);
    check_books(books, log, live);
  }
}

TEST_CASE("while a pin lives nothing is destroyed or emptied", "[store][drop]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 25; ++i)
    store.write({log.next()});
  store.checkpoint_at_end(log);
  auto pin = store->pin();
  auto second = store->pin();
  CHECK_FALSE(must(store->tidy()));
  pin.reset();
  CHECK_FALSE(must(store->tidy()));
  CHECK(store.read_all(log.partition()).size() == 25);
  CHECK(must(store->dropped(log.partition())).ranges.empty());
  second.reset();
  store.tidy_all();
  CHECK(store.read_all(log.partition()).size() == 5);
}

TEST_CASE("entries of an ended copy go without any books", "[store][drop]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  auto other = store.begin(2);
  for (int i = 0; i < 35; ++i)
    store.write({log.next()});
  store.write({other.next()});
  must(store->end_copy(log.partition()));
  if (GENERATE(false, true))
    store.reopen();
  store.tidy_all();
  CHECK(store->statistics().generations == 1);
  CHECK(store.read_all(other.partition()).size() == 1);
}

TEST_CASE("of a random log exactly the needed and the uncovered entries survive", "[store][drop]") {
  const auto seed = GENERATE(1u, 2u, 3u);
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const auto draw = [&](unsigned most) { return random() % (most + 1); };
  test::store_fixture store;
  store.options.generation_entries = 40;
  store.options.empty_below_percent = 50;
  store.options.tables_bytes_max = 1;
  store.open();
  std::vector<test::log_maker> logs{store.begin(1), store.begin(2)};
  std::vector<std::vector<bool>> needed(2);
  for (int round = 0; round < 25; ++round) {
    for (int n = 0; n < 4; ++n) {
      std::vector<entry> entries;
      for (std::size_t i = 0; i < logs.size(); ++i)
        for (auto count = draw(5); count > 0; --count)
          entries.push_back(logs[i].next(draw(3), 10 + draw(300)));
      if (!entries.empty())
        store.write(std::move(entries));
    }
    for (std::size_t i = 0; i < logs.size(); ++i) {
      needed[i].resize(logs[i].next_offset().value, true);
      for (std::size_t offset = 0; offset < needed[i].size(); ++offset)
        if (draw(3) == 0 && !(offset < 60 && offset % 20 == 3))
          needed[i][offset] = false; // settled; a few never are
      std::vector<offset_range> ranges;
      for (std::uint64_t offset = 0; offset < needed[i].size(); ++offset) {
        if (!needed[i][offset])
          continue;
        if (!ranges.empty() && ranges.back().end.value == offset)
          ++ranges.back().end.value;
        else
          ranges.push_back({message_offset{offset}, message_offset{offset + 1}});
      }
      if (!logs[i].all().empty())
        store.checkpoint_at_end(logs[i], ranges);
    }
    store.tidy_all();
    if (draw(4) == 0)
      store.reopen();
    for (std::size_t i = 0; i < logs.size(); ++i) {
      const auto live = store.read_all(logs[i].partition());
      check_books(must(store->dropped(logs[i].partition())), logs[i], live);
      for (std::uint64_t offset = 0; offset < needed[i].size(); ++offset) {
        if (!needed[i][offset])
          continue;
        const auto found = must(store->entry_with(logs[i].partition(), message_offset{offset}));
        REQUIRE(found);
        CHECK(found->hash == logs[i].at(found->index.value).hash);
        CHECK(must(store->first_message(logs[i].partition(), message_offset{offset})) ==
              message_offset{offset});
      }
    }
  }
  CHECK(store->statistics().generations < 12);
}

TEST_CASE("tables of sealed generations are not all kept in memory", "[store][drop]") {
  test::store_fixture store;
  store.options.generation_entries = 10'000;
  store.options.tables_bytes_max = 400'000;
  store.options.open_generations_max = 2;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 85; ++i)
    store.write(log.next_many(500, 1, 8));
  CHECK(store->statistics().generations > 4);
  store.reopen();
  CHECK(store.read_all(log.partition(), 100'000).size() == 42'500);
  for (std::uint64_t offset = 0; offset < 42'500; offset += 1'000)
    REQUIRE(must(store->entry_with(log.partition(), message_offset{offset})));
  const auto active = 2'500u * 72u;
  CHECK(store->statistics().table_bytes < 400'000 + active + 10'000);
}

} // namespace
} // namespace waybill
