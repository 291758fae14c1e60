// A page of a table of contents is known by what it holds, not by its number alone: truncations
// give a number out again.
#include "tests/unit/storage_faults/history.hpp"

#include <catch2/catch.hpp>

namespace waybill::test {

TEST_CASE("a page under a number given out again is not taken for the one before it",
          "[storage_faults]") {
  fault_env env;
  auto options = small_store(env);
  options.generation_entries = 6;
  auto opened = store::open(options);
  REQUIRE(opened);
  auto& target = **opened;
  std::map<partition_id, std::vector<entry>> logs;
  for (std::uint32_t number = 0; number < 2; ++number) {
    const partition_id id{topic_id{7}, number};
    REQUIRE(target.begin_copy(id, copy_id{1 + number}));
    write_set what;
    for (int i = 0; i < 3; ++i) {
      logs[id].push_back(next_entry(logs[id], id, epoch{1}, 1, "body"));
      what.entries.push_back(logs[id].back());
    }
    REQUIRE(target.write(what));
  }
  const partition_id first{topic_id{7}, 0};
  const partition_id second{topic_id{7}, 1};
  logs[first].push_back(next_entry(logs[first], first, epoch{1}, 1, "into the next generation"));
  REQUIRE(target.write({{logs[first].back()}, {}, {}}));
  REQUIRE(target.statistics().generations == 2);

  REQUIRE(target.read(second, log_index{1}, 1'000));  // its page is in memory now
  REQUIRE(target.truncate(second, log_index{0}, {})); // and gone, with the highest number
  REQUIRE(target.truncate(first, log_index{2}, {}));  // whose page is written again, under it
  const auto left = target.read(first, log_index{1}, 1'000);
  REQUIRE(left);
  REQUIRE(left->size() == 2);
  CHECK(left->back().hash == logs[first][1].hash);
}

} // namespace waybill::test
