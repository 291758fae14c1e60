// Damage to what was synced, and tails that no careful disk leaves: what the store makes of each.
//
// Found, always: damage to tables, MANIFESTs, CURRENT, the format file, and whatever breaks a
// chain, a checksum or a record. Not found, since nothing on the same disk tells of it: the end of
// the newest log, cut off at a record's end or anywhere in its last block. Of the journal that
// takes entries newer than the newest checkpoint (which says how far the journal had come); of the
// small store it takes the newest promises, checkpoints, copies, records and dead letters. Only
// another replica can tell.
#include "tests/unit/storage_faults/history.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <map>

namespace waybill::test {
namespace {

enum class harm : std::uint8_t { bit, cut, zeros, garbage, lost };

/// Up to one sector, at a random place.
void overwrite_some(fault_env& env, const std::string& path, std::mt19937_64& random, bool zeros) {
  const auto size = env.contents(path).size();
  const auto at = random() % size;
  std::string bytes(std::min<std::size_t>(size - at, 512), '\0');
  if (!zeros)
    std::ranges::generate(bytes, [&random] { return static_cast<char>(random()); });
  env.overwrite(path, at, bytes);
}

/// Damages a random file. @returns which
std::string damage(fault_env& env, std::mt19937_64& random) {
  const auto files = env.files();
  const auto path = files[random() % files.size()];
  const auto size = env.contents(path).size();
  switch (size == 0 ? harm::lost : static_cast<harm>(random() % 5)) {
  case harm::bit:
    env.flip_bit(path, random() % (size * 8));
    break;
  case harm::cut:
    env.cut_file(path, random() % size);
    break;
  case harm::zeros:
    overwrite_some(env, path, random, true);
    break;
  case harm::garbage:
    overwrite_some(env, path, random, false);
    break;
  case harm::lost:
    env.lose_file(path);
    break;
  }
  return path;
}

bool is_named(const failure& why) {
  return why.code == ec::damaged || why.code == ec::storage_failed ||
         why.code == ec::version_unsupported;
}

/// Whether the end of the newest log accounts for it: see above.
bool is_end_of_a_log(const std::string& wrong, const std::string& path, bool checkpointed) {
  if (kind_of(path) != file_kind::log)
    return false;
  if (path.find("/journal/") != std::string::npos)
    return !checkpointed && wrong.starts_with("the log ends at");
  constexpr std::array older{"the checkpoint of", "the promise of", "partition ", "the records",
                             "the dead letters"};
  return std::ranges::any_of(older, [&](const char* begins) { return wrong.starts_with(begins); });
}

} // namespace

TEST_CASE("damage to any file is named, or harmless, or the end of a log", "[storage_faults]") {
  std::map<std::string, std::uint64_t> verdicts;
  for (std::uint64_t seed = 0; seed < histories(1'000); ++seed) {
    std::mt19937_64 random{seed};
    const bool checkpointed = random() % 2 == 0;
    fault_env env;
    store_history history{env, seed};
    REQUIRE(history.open());
    for (auto steps = random() % 150; steps > 0; --steps)
      REQUIRE(history.step());
    if (checkpointed)
      REQUIRE(history.write_checkpoint(which::all));
    history.close();
    const auto path = damage(env, random);
    CAPTURE(seed, checkpointed, path);
    if (!history.open()) {
      CHECK(is_named(*history.refusal()));
      ++verdicts["refused"];
      continue;
    }
    const auto wrong = history.check();
    if (!wrong) {
      ++verdicts["harmless"];
    } else if (wrong->starts_with("damage: ")) {
      ++verdicts["named"];
    } else {
      CAPTURE(*wrong);
      CHECK(is_end_of_a_log(*wrong, path, checkpointed));
      ++verdicts["end of a log"];
    }
  }
  CHECK(verdicts["refused"] > histories(200));
  CHECK(verdicts["named"] > histories(200));
  CHECK(verdicts["end of a log"] < 30);
}

TEST_CASE("a write that lands on another file is found out", "[storage_faults]") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    fault_env env;
    store_history history{env, seed};
    REQUIRE(history.open());
    for (int steps = 0; steps < 60; ++steps)
      REQUIRE(history.step());
    const auto victims = env.files({file_kind::table, "*/journal/*"});
    env.add({.where = {file_kind::log, "*/journal/*"},
             .on = operation::write,
             .what = effect::misdirect,
             .times = 1,
             .victim = victims.empty() ? "" : victims[random() % victims.size()],
             .victim_offset = random() % 1'000});
    REQUIRE(history.write_some(3, 500));
    REQUIRE(history.write_checkpoint(which::all));
    history.close();
    if (!history.open()) {
      CHECK(is_named(*history.refusal()));
      continue;
    }
    const auto wrong = history.check();
    REQUIRE(wrong);
    CHECK(wrong->starts_with("damage: "));
  }
}

TEST_CASE("a tail of zeros or garbage is named or cut, and takes nothing that was acknowledged",
          "[storage_faults]") {
  std::uint64_t served = 0;
  std::uint64_t refused = 0;
  for (std::uint64_t seed = 0; seed < histories(300); ++seed) {
    constexpr std::array modes{tail::zeros, tail::garbage, tail::pages};
    std::mt19937_64 random{seed};
    fault_env env;
    store_history history{env, seed};
    for (int cut = 0; cut < 6; ++cut) {
      CAPTURE(seed, cut);
      env.cut_power_after(random() % 250, {.seed = random(), .mode = modes[seed % 3]});
      for (bool well = history.open(); well;)
        well = history.step();
      history.close();
      env.reboot();
      if (!history.open()) {
        CHECK(is_named(*history.refusal()));
        ++refused;
        break;
      }
      const auto wrong = history.check().value_or("");
      history.close();
      if (wrong.starts_with("damage: "))
        break;
      REQUIRE(wrong == "");
      ++served;
    }
  }
  CHECK(served > histories(300));
  CHECK(refused > 0);
}

} // namespace waybill::test
