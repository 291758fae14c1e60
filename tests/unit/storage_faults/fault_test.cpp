// Each kind of fault over the store: an error with a name, a cut of what was never acknowledged, or
// nothing lost. Where neither the disk's answer nor what else is on it can tell, the test says so.
#include "tests/unit/storage_faults/history.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

namespace waybill::test {
namespace {

constexpr int steps_before = 60;

/// A history on its way. Its steps must go well.
void run(store_history& history, int steps) {
  for (; steps > 0; --steps) {
    const bool well = history.step();
    INFO((well ? "" : history.last_error()->detail));
    REQUIRE(well);
  }
}

void begin(store_history& history) {
  REQUIRE(history.open());
  run(history, steps_before);
}

/// After `begin`: steps until a call of the writer fails, and then all others do. @returns whether
/// one did
bool run_into_failure(store_history& history) {
  for (int steps = 0; steps < 500 && !history.writer_failed(); ++steps)
    if (!history.step())
      CHECK((history.last_error()->code == ec::storage_failed ||
             history.last_error()->code == ec::disk_full));
  if (!history.writer_failed())
    return false;
  const auto write = history.target().write({});
  CHECK((!write && write.error().code == ec::storage_failed));
  const auto tidied = history.target().tidy();
  CHECK((!tidied && tidied.error().code == ec::storage_failed));
  return true;
}

void reopen_whole(store_history& history) {
  const bool opened = history.open();
  INFO((opened ? "" : history.refusal()->detail));
  REQUIRE(opened);
  REQUIRE(history.check().value_or("") == "");
}

} // namespace

TEST_CASE("a failed sync ends the store by name, and what it had acknowledged stays",
          "[storage_faults]") {
  const auto kind = GENERATE(file_kind::log, file_kind::table, file_kind::manifest);
  const std::string where = GENERATE("*/journal/*", "*/state/*");
  const bool cut = GENERATE(false, true);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    CAPTURE(static_cast<int>(kind), where, cut, seed);
    fault_env env;
    store_history history{env, seed};
    begin(history);
    env.add({.where = {kind, where}, .after = seed});
    const bool failed = run_into_failure(history);
    CHECK(
        (failed || kind != file_kind::log)); // it may make no table or MANIFEST in so short a time
    if (cut)
      env.power_cut({.seed = seed, .mode = tail::torn});
    history.close();
    env.clear_faults();
    if (cut)
      env.reboot();
    reopen_whole(history);
  }
}

TEST_CASE("nothing is acknowledged, nor seen by readers, while its sync is held up",
          "[storage_faults]") {
  fault_env env;
  auto opened = store::open(small_store(env));
  REQUIRE(opened);
  auto& target = **opened;
  const partition_id id{topic_id{7}, 0};
  REQUIRE(target.begin_copy(id, copy_id{1}));
  gate held;
  env.add({.where = {file_kind::log, "*/journal/*"},
           .what = effect::call,
           .times = 1,
           .hook = [&held](const std::string&) { held.pass(); }});
  std::atomic<bool> answered = false;
  std::thread writer{[&] {
    const bool well =
        static_cast<bool>(target.write({{next_entry({}, id, epoch{1}, 1, "body")}, {}, {}}));
    answered = well;
  }};
  held.await_arrival();
  CHECK_FALSE(answered);
  const auto seen = target.read(id, log_index{1}, 1'000);
  CHECK((seen && seen->empty()));
  CHECK(target.current(id)->last.index == log_index{0});
  held.open();
  writer.join();
  CHECK(answered);
  CHECK(target.read(id, log_index{1}, 1'000)->size() == 1);
}

TEST_CASE("a sync that lied is found out by a later checkpoint, and by nothing else",
          "[storage_faults]") {
  const bool checkpoint_after = GENERATE(false, true);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(checkpoint_after, seed);
    fault_env env;
    store_history history{env, seed};
    begin(history);
    REQUIRE(history.write_checkpoint(which::all));
    env.add({.where = {file_kind::log, "*/journal/*"}, .what = effect::lie});
    const auto lied = env.counters().syncs_lied;
    REQUIRE(history.write_some(3, 100));
    const bool sealed = env.counters().syncs_lied != lied + 1;
    if (checkpoint_after)
      REQUIRE(history.write_checkpoint(which::all));
    env.power_cut({.seed = seed, .mode = tail::lost});
    history.close();
    env.clear_faults();
    env.reboot();
    if (!history.open()) {
      CHECK(history.refusal()->code == ec::damaged);
      continue;
    }
    const auto wrong = history.check();
    REQUIRE(wrong);
    if (checkpoint_after || sealed)
      CHECK(wrong->starts_with("damage: "));
    else // the end of the log is gone, and nothing on this disk says that there was more
      CHECK(wrong->starts_with("the log ends"));
  }
}

TEST_CASE("a write that fails, or finds no space, ends the store by name", "[storage_faults]") {
  const bool no_space = GENERATE(false, true);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(no_space, seed);
    fault_env env;
    store_history history{env, seed};
    begin(history);
    if (no_space)
      env.limit_space(seed * 777);
    else
      env.add({.on = operation::write, .after = seed, .times = 1});
    // One that fails once may be a table's of a sealed generation: its log still has all of it.
    const bool failed = run_into_failure(history);
    CHECK((failed || !no_space));
    env.limit_space(std::nullopt); // LevelDB would take more now, and lose it
    if (failed)
      CHECK_FALSE(history.target().write({}));
    history.close();
    reopen_whole(history);
  }
}

TEST_CASE("a file that cannot be made, renamed, removed or read is an error with a name",
          "[storage_faults]") {
  const auto on =
      GENERATE(operation::create, operation::rename, operation::remove, operation::read);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(static_cast<int>(on), seed);
    fault_env env;
    store_history history{env, seed};
    begin(history);
    env.add({.on = on, .after = seed, .times = 1 + seed % 3});
    for (int steps = 0; steps < 200 && history.step();)
      ++steps;
    if (history.last_error()) {
      const auto code = history.last_error()->code;
      CHECK((code == ec::storage_failed || code == ec::damaged));
    }
    history.close();
    env.clear_faults();
    reopen_whole(history);
  }
}

} // namespace waybill::test
