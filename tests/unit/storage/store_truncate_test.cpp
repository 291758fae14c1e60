// Dropping a log's tail, and writing another one in its place.
#include "tests/unit/storage/store_fixture.hpp"

#include <random>

namespace waybill {
namespace {

using test::check_equal;
using test::must;

void check_log(test::store_fixture& store, const test::log_maker& log) {
  for (const bool again : {false, true}) {
    if (again)
      store.reopen();
    check_equal(store.read_all(log.partition()), log.all());
    const auto current = must(store->current(log.partition()));
    CHECK(current.last == log.last());
    CHECK(current.next_offset == log.next_offset());
    CHECK_FALSE(current.damage);
    if (!log.all().empty())
      CHECK(current.last_stamp == log.all().back().stamped);
    CHECK_FALSE(must(store->entry_with(log.partition(), log.next_offset())));
    CHECK_FALSE(must(store->first_message(log.partition(), log.next_offset())));
  }
}

TEST_CASE("a tail is replaced, wherever it begins", "[store][truncate]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  auto other = store.begin(2);
  for (int i = 0; i < 27; ++i)
    store.write({log.next(2), other.next()});
  const auto keep = GENERATE(27u, 26u, 25u, 20u, 13u, 5u, 1u, 0u);
  const auto replaced = GENERATE(0u, 3u);
  INFO("keep " << keep << ", then " << replaced);
  log.go_back_to(log_index{keep});
  must(store->truncate(log.partition(), log_index{keep}, log.next_many(replaced, 3, 50)));
  check_log(store, log);
  check_log(store, other);
  for (int i = 0; i < 12; ++i)
    store.write({log.next(), other.next(0)});
  check_log(store, log);
  check_log(store, other);
}

TEST_CASE("a tail is dropped again and again", "[store][truncate]") {
  const auto seed = GENERATE(11u, 12u, 13u);
  INFO("seed " << seed);
  std::mt19937 random{seed};
  test::store_fixture store;
  store.options.generation_entries = 12;
  store.open();
  auto log = store.begin(1);
  auto other = store.begin(2);
  for (int round = 0; round < 30; ++round) {
    std::vector<entry> entries;
    for (auto count = random() % 6; count > 0; --count) {
      entries.push_back(log.next(random() % 3));
      entries.push_back(other.next(random() % 3));
    }
    store.write(std::move(entries));
    if (random() % 3 == 0) {
      const auto back = std::min<std::uint64_t>(random() % 30, log.all().size());
      const log_index keep{log.all().size() - back};
      log.go_back_to(keep);
      must(store->truncate(log.partition(), keep, log.next_many(random() % 4)));
    }
    if (random() % 4 == 0)
      store.reopen();
    check_equal(store.read_all(log.partition()), log.all());
    check_equal(store.read_all(other.partition()), other.all());
  }
}

TEST_CASE("a log is cut down to a checkpoint whose entry was dropped", "[store][truncate]") {
  test::store_fixture store;
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 10; ++i)
    store.write({log.next()});
  store.checkpoint_at_end(log);
  for (int i = 0; i < 3; ++i)
    store.write({log.next()});
  store.tidy_all();
  REQUIRE_FALSE(must(store->entry_at(log.partition(), log_index{10})));
  log.go_back_to(log_index{10});
  must(store->truncate(log.partition(), log_index{10}, log.next_many(2)));
  store.reopen();
  const auto current = must(store->current(log.partition()));
  CHECK(current.last == log.last());
  CHECK_FALSE(current.damage);
  check_equal(store.read_all(log.partition()), {log.at(11), log.at(12)});
}

} // namespace
} // namespace waybill
