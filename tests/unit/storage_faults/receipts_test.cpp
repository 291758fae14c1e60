// The promise, as the trace tells it: whatever was acknowledged had been synced before.
#include "tests/unit/storage_faults/history.hpp"

#include <catch2/catch.hpp>

namespace waybill::test {

TEST_CASE("for every acknowledged entry there is a sync before that covers it",
          "[storage_faults]") {
  std::uint64_t receipts = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    fault_env env{{.keep_log_contents = true}};
    store_history history{env, seed};
    history.keep_receipts();
    REQUIRE(history.open());
    for (int steps = 0; steps < 150; ++steps)
      REQUIRE(history.step());
    for (const auto& [mark, bytes] : history.receipts())
      REQUIRE(env.synced_before(mark, bytes));
    receipts += history.receipts().size();
  }
  CHECK(receipts > 1'000);
}

TEST_CASE("the trace would tell if a sync had been left out", "[storage_faults]") {
  fault_env env{{.keep_log_contents = true}};
  store_history history{env, 1};
  history.keep_receipts();
  REQUIRE(history.open());
  REQUIRE(history.begin_copy({topic_id{7}, 0}));
  env.add({.where = {file_kind::log, "*/journal/*"}, .what = effect::lie});
  REQUIRE(history.write_some(1, 100));
  const auto& [mark, bytes] = history.receipts().back();
  CHECK_FALSE(env.synced_before(mark, bytes));
}

} // namespace waybill::test
