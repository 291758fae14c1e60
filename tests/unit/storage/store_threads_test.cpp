// Readers on threads of their own, while the writer writes, checkpoints and tidies.
#include "tests/unit/storage/store_fixture.hpp"

#include <atomic>
#include <thread>

namespace waybill {
namespace {

using test::must;

/// What one reader found wrong; assertions of tests belong to the main thread.
struct reader {
  const store& from;
  const partition_id partition;
  const std::atomic<bool>& stop;
  std::string wrong;
  std::uint64_t rounds = 0;

  void run() {
    while (!stop && wrong.empty()) {
      const auto end = from.current(partition);
      if (!end)
        wrong = end.error().detail;
      else
        walk(end->last.index);
      ++rounds;
    }
  }

  /// All that was synced before the walk began is read, linked, or dropped by the time it ends.
  void walk(log_index end) {
    const auto pin = from.pin();
    std::optional<log_position> last;
    for (log_index next{1}; next <= end && wrong.empty();) {
      const auto some = from.read(partition, next, 2'000);
      if (!some) {
        wrong = some.error().detail;
        return;
      }
      if (some->empty())
        return;
      for (const auto& e : *some) {
        if (last && last->index.value + 1 == e.index.value && last->hash != e.previous)
          wrong = "entry " + std::to_string(e.index.value) + " does not follow the one before";
        last = position_of(e);
      }
      next = log_index{last->index.value + 1};
      if (e_is_missing(some->back()))
        wrong = "an entry that was read is not found by its offset";
    }
  }

  bool e_is_missing(const entry& e) {
    if (e.message_count == 0)
      return false;
    const auto found = from.entry_with(partition, e.first_offset);
    return !found || !*found || (*found)->hash != e.hash;
  }
};

TEST_CASE("readers see whole logs while the writer writes and tidies", "[store][threads]") {
  test::store_fixture store;
  store.options.generation_entries = 40;
  store.options.empty_below_percent = 40;
  store.options.tables_bytes_max = 10'000;
  store.options.open_generations_max = 2;
  store.options.write_buffer_bytes = 64u << 10;
  store.open();
  auto log = store.begin(1);
  store.write({log.next()});
  std::atomic<bool> stop = false;
  std::vector<reader> readers;
  for (int i = 0; i < 3; ++i)
    readers.push_back({*store, log.partition(), stop, {}, 0});
  std::vector<std::thread> threads;
  for (auto& each : readers)
    threads.emplace_back([&each] { each.run(); });
  for (int round = 0; round < 150; ++round) {
    for (int i = 0; i < 4; ++i)
      store.write({log.next(1, 100), log.next(0, 20), log.next(2, 60)});
    const auto end = log.next_offset().value;
    store.checkpoint_at_end(log,
                            {{message_offset{5}, message_offset{6}},
                             {message_offset{end - 30 < end ? end - 30 : 0}, message_offset{end}}});
    must(store->tidy());
  }
  stop = true;
  for (auto& each : threads)
    each.join();
  for (const auto& each : readers) {
    CHECK(each.wrong == "");
    CHECK(each.rounds > 0);
  }
  store.tidy_all();
  CHECK(store->statistics().generations < 6);
  CHECK(must(store->entry_with(log.partition(), message_offset{5})));
}

} // namespace
} // namespace waybill
