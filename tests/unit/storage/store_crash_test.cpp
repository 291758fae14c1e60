// Crashes and failing disks at every step of a scenario that writes, seals, truncates, empties and
// destroys: what was confirmed is there, what was not is there whole or not at all.
#include "tests/unit/storage/store_fixture.hpp"

#include <algorithm>

namespace waybill {
namespace {

using test::must;

/// What the store's user knows while it runs.
struct scenario {
  test::log_maker log{{topic_id{1}, 0}};
  test::log_maker other{{topic_id{2}, 0}};
  log_index floor;              ///< confirmed, and never truncated: it must be there
  std::vector<entry> confirmed; ///< of `log`, as it was when a call last returned well
  std::vector<entry> tried;     ///< as it would be had the last call returned well
  std::size_t other_confirmed = 0;
  bool checkpointed = false;
  bool begun = false;
  bool other_begun = false;

  /// @returns false at the first call that fails
  bool run(store& s) {
    begun = static_cast<bool>(s.begin_copy(log.partition(), copy_id{1}));
    if (!begun)
      return false;
    other_begun = static_cast<bool>(s.begin_copy(other.partition(), copy_id{2}));
    if (!other_begun)
      return false;
    for (int round = 0; round < 6; ++round) {
      for (int i = 0; i < 4; ++i)
        if (!write(s, i))
          return false;
      if (round % 2 == 1 && !truncate(s, round == 3 ? 11 : 2))
        return false;
      if (round % 2 == 0 && !checkpoint_and_tidy(s))
        return false;
    }
    return true;
  }

  bool write(store& s, int i) {
    write_set set;
    set.entries = {log.next(static_cast<std::uint32_t>(i % 3), 40), other.next(1, 40), log.next()};
    set.promises = {{log.partition(), epoch{++promised}}};
    tried = log.all();
    if (!s.write(set))
      return false;
    confirmed = tried;
    other_confirmed = other.all().size();
    return true;
  }

  bool truncate(store& s, std::uint64_t back) {
    const log_index keep{std::max(log.all().size() - back, floor.value)};
    log.go_back_to(keep);
    auto replacement = log.next_many(2, 2, 30);
    tried = log.all();
    if (!s.truncate(log.partition(), keep, replacement)) {
      cut_to = keep;
      return false;
    }
    confirmed = tried;
    return true;
  }

  bool checkpoint_and_tidy(store& s) {
    std::vector<std::pair<partition_id, checkpoint>> points(2);
    const auto end = log.all().size() - 3;
    points[0].first = log.partition();
    points[0].second.state.at = position_of(log.at(end));
    points[0].second.state.next_offset = offsets_of(log.at(end)).end;
    points[0].second.needed = {{message_offset{1}, message_offset{2}}};
    points[1].first = other.partition();
    points[1].second.state.at = other.last();
    points[1].second.state.next_offset = other.next_offset();
    if (!s.write_checkpoints(points))
      return false;
    checkpointed = true;
    floor = log_index{end};
    for (;;) {
      const auto more = s.tidy();
      if (!more)
        return false;
      if (!*more)
        return true;
    }
  }

  /// After a restart: no damage, nothing confirmed is missing, nothing is there that was not
  /// written.
  void check(store& s) {
    for (const auto& [id, found] : s.recovered()) {
      INFO((found.damage ? found.damage->detail : std::string{}));
      REQUIRE_FALSE(found.damage);
    }
    if (begun)
      check_log(s);
    if (!other_begun)
      return;
    const auto end = must(s.current(other.partition())).last.index.value;
    CHECK((end == other_confirmed || end == other.all().size()));
  }

  void check_log(store& s) {
    const auto now = must(s.current(log.partition()));
    CHECK(now.promised.value + 1 >= promised);
    const auto& end = now.last;
    // The old log, the new one, or the old one cut on the way to the new one.
    const auto is_end_of = [&end](const std::vector<entry>& log_entries) {
      return end.index.value == 0 || (end.index.value <= log_entries.size() &&
                                      log_entries[end.index.value - 1].hash == end.hash);
    };
    const bool old_one = is_end_of(confirmed) &&
                         (end.index.value == confirmed.size() || (cut_to && end.index >= *cut_to));
    const bool new_one = is_end_of(tried) && end.index.value == tried.size();
    CHECK((old_one || new_one));
    const auto& expected = new_one ? tried : confirmed;
    const auto books = must(s.dropped(log.partition()));
    std::uint64_t next = 1;
    for (log_index from{1};;) {
      const auto some = must(s.read(log.partition(), from, 200));
      if (some.empty())
        break;
      for (const auto& e : some) {
        for (; next < e.index.value; ++next)
          require_dropped(books, next);
        REQUIRE(e.hash == expected.at(next - 1).hash);
        ++next;
      }
      from = log_index{next};
    }
    for (; next <= end.index.value; ++next)
      require_dropped(books, next);
    if (floor.value > 1) {
      const auto stuck = must(s.entry_with(log.partition(), message_offset{1}));
      REQUIRE(stuck);
      CHECK(stuck->hash == log.at(stuck->index.value).hash);
    }
  }

  static void require_dropped(const dropped_books& books, std::uint64_t index) {
    REQUIRE(std::ranges::any_of(books.ranges, [index](const dropped_range& r) {
      return r.entries.first.value <= index && index <= r.entries.last.value;
    }));
  }

  std::uint64_t promised = 0;
  std::optional<log_index> cut_to;
};

void make_small(test::store_fixture& store) {
  store.options.generation_entries = 9;
  store.options.empty_below_percent = 40;
  store.options.write_buffer_bytes = 64u << 10;
}

TEST_CASE("a power cut at any step loses nothing that was confirmed", "[store][crash]") {
  std::uint64_t operations = 0;
  {
    test::store_fixture store;
    make_small(store);
    store.open();
    const auto before = store.env.counters().operations;
    scenario all;
    REQUIRE(all.run(*store));
    CHECK(store->statistics().generations_destroyed > 0);
    CHECK(store->statistics().entries_rewritten > 0);
    operations = store.env.counters().operations - before;
    all.check(*store);
  }
  for (std::uint64_t after = 0; after < operations; ++after) {
    INFO("cut after " << after << " of " << operations << " operations");
    test::store_fixture store;
    make_small(store);
    store.open();
    scenario all;
    // What no sync covers may be gone or torn; a tail of other bytes is damage, and tested as such.
    store.env.cut_power_after(after,
                              {after, after % 2 == 0 ? test::tail::torn : test::tail::whole});
    all.run(*store);
    store.close();
    store.env.cancel_cut();
    if (!store.env.is_off())
      store.env.power_cut({after, test::tail::lost});
    store.env.reboot();
    auto opened = store.try_open();
    INFO((opened ? std::string{} : opened.error().detail));
    REQUIRE(opened);
    all.check(**opened);
    opened->reset();
    store.open(); // what the first start finished is finished
    all.check(*store);
    store.tidy_all();
    all.check(*store);
    if (all.begun)
      store.reopen();
    all.check(*store);
  }
}

TEST_CASE("a power cut while a store is begun leaves one that can be begun", "[store][crash]") {
  for (std::uint64_t after = 0; after < 60; ++after) {
    INFO("cut after " << after << " operations");
    test::store_fixture store;
    make_small(store);
    store.env.cut_power_after(after, {after, test::tail::torn});
    auto first = store.try_open();
    if (first)
      first->reset();
    store.env.cancel_cut();
    if (!store.env.is_off())
      store.env.power_cut({after, test::tail::lost});
    store.env.reboot();
    store.open();
    auto log = store.begin(1);
    store.write(log.next_many(2));
    store.reopen();
    test::check_equal(store.read_all(log.partition()), log.all());
  }
}

TEST_CASE("after a sync that failed the store writes nothing more", "[store][crash]") {
  test::store_fixture store;
  make_small(store);
  store.open();
  auto log = store.begin(1);
  store.write(log.next_many(3));
  const std::string where = GENERATE("*/journal/*", "*/state/*");
  store.env.add(
      {.where = {test::file_kind::log, where}, .message = "Input/output error", .victim = {}});
  write_set set;
  set.entries = log.next_many(2);
  set.records = {{"key", "value"}};
  CHECK(store->write(set).error().code == ec::storage_failed);
  store.env.clear_faults();
  CHECK(store->write(set).error().code == ec::storage_failed);
  CHECK(store->write({}).error().code == ec::storage_failed);
  CHECK(store->begin_copy({topic_id{5}, 0}, copy_id{5}).error().code == ec::storage_failed);
  CHECK(store->end_copy(log.partition()).error().code == ec::storage_failed);
  CHECK(store->truncate(log.partition(), log_index{3}, {}).error().code == ec::storage_failed);
  CHECK(store->write_checkpoints({}).error().code == ec::storage_failed);
  CHECK(store->write_dead_letters({}).error().code == ec::storage_failed);
  CHECK(store->tidy().error().code == ec::storage_failed);
  CHECK(store.read_all(log.partition()).size() == 3); // what was synced is read
  store.env.power_cut({1, test::tail::lost});
  store.close();
  store.env.reboot();
  store.open();
  CHECK(must(store->current(log.partition())).last == position_of(log.at(3)));
}

TEST_CASE("a disk that fills up inside LevelDB ends the store", "[store][crash]") {
  test::store_fixture store;
  make_small(store);
  store.open();
  auto log = store.begin(1);
  store.write(log.next_many(3));
  store.env.limit_space(100);
  write_set set;
  set.entries = log.next_many(2, 1, 1'000);
  CHECK(store->write(set).error().code == ec::storage_failed);
  store.env.limit_space({});
  CHECK(store->write(set).error().code == ec::storage_failed);
}

} // namespace
} // namespace waybill
