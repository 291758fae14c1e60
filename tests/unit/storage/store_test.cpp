// Writing, reading, and opening again.
#include "tests/unit/storage/store_fixture.hpp"

#include <algorithm>

namespace waybill {
namespace {

using test::check_equal;
using test::must;

TEST_CASE("what was written is read again, also by the next process", "[store]") {
  test::store_fixture store{GENERATE(test::medium::memory, test::medium::disk)};
  store.open();
  auto log = store.begin(1);
  store.write(log.next_many(3));
  store.write({log.next(0), log.next(7, 5'000)});
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    check_equal(store.read_all(log.partition()), log.all());
    const auto current = must(store->current(log.partition()));
    CHECK(current.last == log.last());
    CHECK(current.next_offset == log.next_offset());
    CHECK(current.last_stamp == log.all().back().stamped);
    CHECK_FALSE(current.damage);
    CHECK_FALSE(current.checkpointed);
  }
  REQUIRE(store->recovered().size() == 1);
  const auto& found = store->recovered().at(log.partition());
  CHECK(found.copy == copy_id{1'001});
  CHECK(found.last == log.last());
  CHECK(found.next_offset == log.next_offset());
}

TEST_CASE("reading gives at least one entry and stops beyond the bytes asked for", "[store]") {
  test::store_fixture store;
  store.open();
  auto log = store.begin(1);
  store.write(log.next_many(10, 1, 1'000));
  CHECK(must(store->read(log.partition(), log_index{1}, 0)).size() == 1);
  CHECK(must(store->read(log.partition(), log_index{1}, 2'500)).size() == 3);
  CHECK(must(store->read(log.partition(), log_index{9}, 1u << 20)).size() == 2);
  CHECK(must(store->read(log.partition(), log_index{11}, 1u << 20)).empty());
  const auto missing = store->read({topic_id{9}, 0}, log_index{1}, 1);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ec::unknown_partition);
}

TEST_CASE("messages are found by their offset", "[store]") {
  test::store_fixture store;
  store.options.generation_entries = 4;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 6; ++i)
    store.write({log.next(3), log.next(0)});
  for (std::uint64_t offset = 0; offset < 18; ++offset) {
    const auto found = must(store->entry_with(log.partition(), message_offset{offset}));
    REQUIRE(found);
    CHECK(found->index.value == offset / 3 * 2 + 1);
    CHECK(must(store->first_message(log.partition(), message_offset{offset})) ==
          message_offset{offset});
  }
  CHECK_FALSE(must(store->entry_with(log.partition(), message_offset{18})));
  CHECK_FALSE(must(store->first_message(log.partition(), message_offset{18})));
  CHECK(must(store->entry_at(log.partition(), log_index{4}))->hash == log.at(4).hash);
  CHECK_FALSE(must(store->entry_at(log.partition(), log_index{13})));
  CHECK_FALSE(must(store->entry_at(log.partition(), log_index{0})));
}

TEST_CASE("partitions share the journal and do not see each other", "[store]") {
  test::store_fixture store;
  store.options.generation_entries = 50;
  store.open();
  std::vector<test::log_maker> logs;
  for (std::uint32_t i = 0; i < 5; ++i)
    logs.push_back(store.begin(7, i));
  for (int round = 0; round < 40; ++round) {
    std::vector<entry> entries;
    for (std::size_t i = 0; i < logs.size(); ++i)
      for (std::size_t n = 0; n < i + 1; ++n)
        entries.push_back(logs[i].next());
    store.write(std::move(entries));
  }
  CHECK(store->statistics().syncs == 40);
  CHECK(store->statistics().entries_written == 600);
  CHECK(store->statistics().generations > 5);
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    for (const auto& log : logs)
      check_equal(store.read_all(log.partition()), log.all());
  }
}

TEST_CASE("every sync is counted: of the journal, of the small store, of an opening", "[store]") {
  test::store_fixture store;
  store.options.generation_entries = 1'000; // no other one is prepared on another thread
  store.open();
  CHECK(store->statistics().sync_calls == store.env.counters().syncs);
  const auto before = store->statistics().sync_calls;
  auto log = store.begin(1);
  for (int round = 0; round < 30; ++round)
    store.write(log.next_many(3));
  store.checkpoint_at_end(log);
  CHECK(store->statistics().sync_calls == before + 1 + 30 + 1);
  CHECK(store->statistics().sync_calls == store.env.counters().syncs);
  store.close();
  const auto first_process = store.env.counters().syncs;
  store.open();
  CHECK(store->statistics().sync_calls > 0);
  CHECK(store->statistics().sync_calls == store.env.counters().syncs - first_process);
}

TEST_CASE("a log goes on in the next process where it ended", "[store]") {
  test::store_fixture store;
  store.options.generation_entries = 7;
  store.open();
  auto log = store.begin(1);
  for (int process = 0; process < 12; ++process) {
    store.write(log.next_many(3));
    store.reopen();
    check_equal(store.read_all(log.partition()), log.all());
  }
}

TEST_CASE("promises and records are kept, and an empty value removes", "[store]") {
  test::store_fixture store;
  store.open();
  const partition_id partition{topic_id{1}, 2};
  must(store->begin_copy(partition, copy_id{5}));
  write_set set;
  set.records = {{"topic/a", "1"}, {"topic/b", "2"}, {"node", "3"}};
  set.promises = {{partition, epoch{4}}};
  must(store->write(set));
  set = {};
  set.records = {{"topic/a", ""}, {"topic/c", "4"}};
  set.promises = {{partition, epoch{4}}};
  must(store->write(set));
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    using pairs = std::vector<std::pair<std::string, std::string>>;
    CHECK(must(store->records("topic/")) == pairs{{"topic/b", "2"}, {"topic/c", "4"}});
    CHECK_FALSE(must(store->record("topic/a")));
    CHECK(must(store->record("node")) == "3");
    CHECK(must(store->current(partition)).promised == epoch{4});
  }
  CHECK(store->recovered().at(partition).promised == epoch{4});
  CHECK(store->statistics().syncs == 0);
}

TEST_CASE("an ended copy is gone, and the next one begins empty", "[store]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  auto other = store.begin(2);
  for (int i = 0; i < 5; ++i)
    store.write({log.next(), log.next(), log.next(), other.next()});
  CHECK(store->begin_copy(log.partition(), copy_id{9}).error().code == ec::bad_argument);
  must(store->end_copy(log.partition()));
  CHECK(store->current(log.partition()).error().code == ec::unknown_partition);
  const auto renewed = GENERATE(false, true);
  if (renewed)
    store.reopen();
  must(store->begin_copy(log.partition(), copy_id{9}));
  CHECK(must(store->current(log.partition())).last == log_position{});
  test::log_maker fresh{log.partition()};
  for (int i = 0; i < 5; ++i)
    store.write({fresh.next(2, 30), other.next()});
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    check_equal(store.read_all(log.partition()), fresh.all());
    check_equal(store.read_all(other.partition()), other.all());
    CHECK(must(store->current(log.partition())).copy == copy_id{9});
  }
}

TEST_CASE("dead letters are kept by group, and removed", "[store]") {
  test::store_fixture store;
  store.open();
  auto log = store.begin(1);
  store.write(log.next_many(3));
  using change = std::variant<dead_letter_put, dead_letter_removed>;
  const auto letter = [](std::uint64_t offset) {
    dead_letter d;
    d.offset = message_offset{offset};
    d.attempts = 3;
    d.reason = "no such address";
    d.message = std::string(16, 'm');
    return d;
  };
  std::vector<change> changes;
  for (const auto offset : {5, 2, 9, 300})
    changes.emplace_back(dead_letter_put{log.partition(), "billing", letter(offset)});
  changes.emplace_back(dead_letter_put{log.partition(), "bill", letter(7)});
  must(store->write_dead_letters(changes));
  const auto offsets = [&](const std::string& group, std::uint64_t from, std::size_t most) {
    std::vector<std::uint64_t> found;
    for (const auto& each :
         must(store->dead_letters(log.partition(), group, message_offset{from}, most, 1u << 20)))
      found.push_back(each.offset.value);
    return found;
  };
  using numbers = std::vector<std::uint64_t>;
  CHECK(offsets("billing", 0, 100) == numbers{2, 5, 9, 300});
  CHECK(offsets("bill", 0, 100) == numbers{7});
  store.checkpoint_at_end(log);
  must(store->write_dead_letters(
      std::vector<change>{dead_letter_removed{log.partition(), "billing", message_offset{5}},
                          dead_letter_put{log.partition(), "billing", letter(6)}}));
  CHECK(offsets("billing", 0, 100) == numbers{2, 6, 9, 300});
  CHECK(offsets("billing", 6, 2) == numbers{6, 9});
  const auto one = must(store->dead_letters(log.partition(), "billing", message_offset{0}, 100, 1));
  REQUIRE(one.size() == 1);
  CHECK(one.front() == letter(2));
  SECTION("what no checkpoint's sync has covered may be gone after a crash; the rest is not") {
    store.reopen();
    CHECK(offsets("billing", 0, 100) == numbers{2, 5, 9, 300});
  }
  SECTION("a checkpoint makes them last") {
    store.checkpoint_at_end(log);
    store.reopen();
    CHECK(offsets("billing", 0, 100) == numbers{2, 6, 9, 300});
  }
}

TEST_CASE("a checkpoint is read again as it was written", "[store]") {
  test::store_fixture store;
  store.open();
  auto log = store.begin(1);
  store.write(log.next_many(20));
  checkpoint point;
  point.state.at = log.last();
  point.state.next_offset = log.next_offset();
  point.state.confirmed = 20;
  point.state.groups.push_back({});
  point.state.groups.back().group = "billing";
  point.state.groups.back().settled = {{message_offset{3}, message_offset{9}}};
  point.needed = {{message_offset{0}, message_offset{3}}, {message_offset{9}, message_offset{20}}};
  must(store->write_checkpoints(
      std::vector<std::pair<partition_id, checkpoint>>{{log.partition(), point}}));
  CHECK(must(store->current(log.partition())).checkpointed == point.state);
  store.reopen();
  CHECK(store->recovered().at(log.partition()).checkpointed == point.state);
  CHECK(must(store->current(log.partition())).checkpointed == point.state);
}

} // namespace
} // namespace waybill
