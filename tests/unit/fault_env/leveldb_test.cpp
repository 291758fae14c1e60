// LevelDB 1.23 over the fault Env: what it keeps, what it cuts in silence, what it refuses. The
// store builds on these answers; if a newer LevelDB gives others, this is where it shows.
#include "tests/support/fault_env.hpp"

#include <catch2/catch.hpp>

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>

namespace waybill::test {
namespace {

using leveldb::Status;

const leveldb::WriteOptions synced = [] {
  leveldb::WriteOptions options;
  options.sync = true;
  return options;
}();
const leveldb::WriteOptions unsynced{};

struct opened_db {
  Status status;
  std::unique_ptr<leveldb::DB> db;
};

opened_db open(fault_env& env, std::size_t write_buffer_bytes = 4u << 20) {
  leveldb::Options options;
  options.env = &env;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.write_buffer_size = write_buffer_bytes;
  options.compression = leveldb::kNoCompression;
  opened_db opened;
  leveldb::DB* db = nullptr;
  opened.status = leveldb::DB::Open(options, "/db", &db);
  opened.db.reset(db);
  return opened;
}

/// The n-th key; keys only grow, as in the journal.
std::string key_of(std::uint64_t n) { return std::to_string(1'000'000 + n); }

/// A value that nobody mistakes for another's.
std::string value_of(std::uint64_t n, std::size_t bytes) {
  std::mt19937_64 random{n};
  std::string value;
  while (value.size() < bytes)
    value.push_back(static_cast<char>(random()));
  return value;
}

std::map<std::string, std::string> all_of(leveldb::DB& db) {
  leveldb::ReadOptions careful;
  careful.verify_checksums = true;
  std::map<std::string, std::string> found;
  const std::unique_ptr<leveldb::Iterator> each{db.NewIterator(careful)};
  for (each->SeekToFirst(); each->Valid(); each->Next())
    found.emplace(each->key().ToString(), each->value().ToString());
  REQUIRE(each->status().ok());
  return found;
}

/// Writes until the power fails (or to the end). What it knows of each value is in `written`.
struct history {
  std::map<std::string, std::string> written;
  std::vector<std::string> acknowledged;

  void run(fault_env& env, leveldb::DB& db, std::mt19937_64& random) {
    const auto bytes_most = std::size_t{1} << (4 + random() % 10);
    for (std::uint64_t n = 0; n < 120 && !env.is_off(); ++n) {
      const auto value = value_of(n, 1 + random() % bytes_most);
      written[key_of(n)] = value;
      const bool safe = random() % 2 == 0;
      if (db.Put(safe ? synced : unsynced, key_of(n), value).ok() && safe)
        acknowledged.push_back(key_of(n));
    }
  }
};

std::string newest(const fault_env& env, file_kind kind) { return env.files({kind}).back(); }

} // namespace

TEST_CASE("synced writes survive 1,000 power cuts; others are whole or absent", "[fault_env]") {
  std::map<tail, std::uint64_t> refused;
  for (std::uint64_t seed = 0; seed < 1'000; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto mode = static_cast<tail>(seed % static_cast<std::uint64_t>(tail::drawn));
    fault_env env;
    history said;
    {
      auto [status, db] = open(env, 16u << 10); // small: logs change and tables are made
      REQUIRE(status.ok());
      env.cut_power_after(random() % 300, {.seed = seed, .mode = mode});
      said.run(env, *db, random);
      env.cancel_cut();
      if (!env.is_off())
        env.power_cut({.seed = seed, .mode = mode});
    }
    env.reboot();
    auto [status, db] = open(env, 16u << 10);
    if (!db) { // never of a tail that merely ends too early
      REQUIRE(status.IsCorruption());
      REQUIRE((mode == tail::zeros || mode == tail::garbage || mode == tail::pages));
      ++refused[mode];
      continue;
    }
    const auto found = all_of(*db);
    for (const auto& key : said.acknowledged)
      REQUIRE(found.contains(key));
    for (const auto& [key, value] : found)
      REQUIRE(said.written.at(key) == value);
  }
  CHECK(refused[tail::zeros] > 0);
  CHECK(refused[tail::garbage] > 0);
}

TEST_CASE("LevelDB cuts a torn tail in silence, and refuses most others", "[fault_env]") {
  std::map<std::pair<tail, std::string>, int> answers;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    CAPTURE(seed);
    const auto mode = static_cast<tail>(seed % static_cast<std::uint64_t>(tail::drawn));
    fault_env env;
    {
      auto [status, db] = open(env);
      REQUIRE(status.ok());
      REQUIRE(db->Put(synced, key_of(0), value_of(0, 100)).ok());
      REQUIRE(db->Put(unsynced, key_of(1), value_of(1, 5'000 + seed * 100)).ok());
      env.power_cut({.seed = seed, .mode = mode});
    }
    env.reboot();
    auto [status, db] = open(env);
    const auto answer = !db ? "refused" : all_of(*db).size() == 2 ? "whole" : "absent";
    if (db)
      REQUIRE(all_of(*db).contains(key_of(0)));
    ++answers[{mode, answer}];
  }
  CHECK(answers[{tail::lost, "absent"}] == 100);
  CHECK(answers[{tail::whole, "whole"}] == 100);
  CHECK(answers[{tail::torn, "refused"}] == 0);
  for (const auto mode : {tail::zeros, tail::garbage, tail::pages})
    CHECK(answers[{mode, "refused"}] > 50);
}

TEST_CASE("zeros in place of whole records are missed by nobody, amid a record they are",
          "[fault_env]") {
  const std::size_t block = 32'768;
  const std::size_t overhead = 7 + 12 + 12; // a fragment's header, a batch's, a key and the sizes
  const auto first_bytes = GENERATE_COPY(block - overhead, block);
  fault_env env;
  {
    auto [status, db] = open(env);
    REQUIRE(status.ok());
    REQUIRE(db->Put(synced, key_of(0), value_of(0, first_bytes)).ok());
    REQUIRE(db->Put(synced, key_of(1), value_of(1, 100)).ok());
  }
  env.overwrite(newest(env, file_kind::log), 0, std::string(block, '\0'));
  auto [status, db] = open(env);
  if (first_bytes == block) { // its last fragment stands in the next block
    CHECK(status.IsCorruption());
  } else {
    REQUIRE(status.ok());
    CHECK(all_of(*db).size() == 1);
    CHECK(all_of(*db).contains(key_of(1)));
  }
}

TEST_CASE("a synced write saves no unsynced ones before it in an older log", "[fault_env]") {
  fault_env env;
  gate compaction;
  {
    auto [status, db] = open(env, 64u << 10);
    REQUIRE(status.ok());
    env.add({.where = {.kind = file_kind::table},
             .on = operation::create,
             .what = effect::call,
             .hook = [&compaction](const std::string&) { compaction.pass(); }});
    for (std::uint64_t n = 0; n < 3; ++n)
      REQUIRE(db->Put(unsynced, key_of(n), value_of(n, 30'000)).ok());
    REQUIRE(db->Put(synced, key_of(3), value_of(3, 100)).ok());
    compaction.await_arrival(); // the older log is not yet a table
    REQUIRE(env.files({file_kind::log}).size() == 2);
    env.power_cut({.seed = 1, .mode = tail::lost});
    compaction.open();
  }
  env.clear_faults();
  env.reboot();
  auto [status, db] = open(env);
  REQUIRE(status.ok());
  const auto found = all_of(*db);
  CHECK(found.contains(key_of(3)));
  CHECK_FALSE(found.contains(key_of(0)));
}

TEST_CASE("after a write that failed, LevelDB may lose what it acknowledges next", "[fault_env]") {
  fault_env env;
  {
    auto [status, db] = open(env);
    REQUIRE(status.ok());
    REQUIRE(db->Put(synced, key_of(0), value_of(0, 1'000)).ok());
    env.limit_space(500);
    REQUIRE(db->Put(synced, key_of(1), value_of(1, 1'000)).IsIOError());
    env.limit_space(std::nullopt);
    CHECK(db->Put(synced, key_of(2), value_of(2, 1'000)).ok()); // nothing warns that it is not safe
  }
  auto [status, db] = open(env);
  if (db)
    CHECK_FALSE(all_of(*db).contains(key_of(2)));
  else
    CHECK(status.IsCorruption());
}

TEST_CASE("after a sync that failed, LevelDB takes no more writes", "[fault_env]") {
  fault_env env;
  auto [status, db] = open(env);
  REQUIRE(status.ok());
  env.add({.where = {.kind = file_kind::log}, .times = 1});
  CHECK(db->Put(synced, key_of(0), "v").IsIOError());
  CHECK(db->Put(synced, key_of(1), "v").IsIOError());
  CHECK(db->Put(unsynced, key_of(2), "v").IsIOError());
}

TEST_CASE("a sync that lies loses what was acknowledged, and LevelDB says nothing", "[fault_env]") {
  fault_env env;
  {
    auto [status, db] = open(env);
    REQUIRE(status.ok());
    REQUIRE(db->Put(synced, key_of(0), "v").ok());
    env.add({.where = {.kind = file_kind::log}, .what = effect::lie});
    REQUIRE(db->Put(synced, key_of(1), "v").ok());
    env.power_cut({.mode = tail::lost});
  }
  env.reboot();
  auto [status, db] = open(env);
  REQUIRE(status.ok());
  CHECK(all_of(*db).size() == 1);
}

TEST_CASE("a flipped bit of a log is found, unless it lengthens a record in the last block",
          "[fault_env]") {
  std::uint64_t found = 0;
  std::uint64_t silent = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    fault_env env;
    {
      auto [status, db] = open(env);
      REQUIRE(status.ok());
      for (std::uint64_t n = 0; n < 10; ++n)
        REQUIRE(db->Put(synced, key_of(n), value_of(n, 100)).ok());
    }
    const auto log = newest(env, file_kind::log);
    const auto record_bytes = env.contents(log).size() / 10;
    const auto bit = random() % (env.contents(log).size() * 8);
    env.flip_bit(log, bit);
    auto [status, db] = open(env);
    const auto place = bit / 8 % record_bytes;
    if (!db) {
      ++found;
      REQUIRE(status.IsCorruption());
      continue;
    }
    ++silent;
    CHECK((place == 4 || place == 5)); // the length
    CHECK(all_of(*db).size() == bit / 8 / record_bytes);
  }
  CHECK(found > 250);
  CHECK(silent > 0);
}

TEST_CASE("a log that is cut short or gone is missed by nobody", "[fault_env]") {
  fault_env env;
  {
    auto [status, db] = open(env);
    REQUIRE(status.ok());
    for (std::uint64_t n = 0; n < 10; ++n)
      REQUIRE(db->Put(synced, key_of(n), value_of(n, 100)).ok());
  }
  const auto log = newest(env, file_kind::log);
  SECTION("cut") { env.cut_file(log, env.contents(log).size() / 2); }
  SECTION("gone") { env.lose_file(log); }
  auto [status, db] = open(env);
  REQUIRE(status.ok());
  CHECK(all_of(*db).size() < 10);
}

TEST_CASE("damage to tables, MANIFEST and CURRENT is found, but for a MANIFEST's end",
          "[fault_env]") {
  fault_env env;
  {
    auto [status, db] = open(env, 64u << 10);
    REQUIRE(status.ok());
    for (std::uint64_t n = 0; n < 200; ++n)
      REQUIRE(db->Put(synced, key_of(n), value_of(n, 2'000)).ok());
  }
  { auto settled = open(env, 64u << 10); } // its log becomes a table, and nothing compacts any more
  const auto opens_whole = [&env] {
    auto [status, db] = open(env);
    if (!db)
      return false;
    leveldb::ReadOptions careful;
    careful.verify_checksums = true;
    const std::unique_ptr<leveldb::Iterator> each{db->NewIterator(careful)};
    std::uint64_t count = 0;
    for (each->SeekToFirst(); each->Valid(); each->Next())
      ++count;
    return each->status().ok() && count == 200;
  };
  const auto table = env.files({file_kind::table}).front();
  const auto manifest = newest(env, file_kind::manifest);
  SECTION("nothing is wrong") { CHECK(opens_whole()); }
  SECTION("a bit of a table") {
    env.flip_bit(table, env.contents(table).size() * 4);
    CHECK_FALSE(opens_whole());
  }
  SECTION("a table cut short") {
    env.cut_file(table, env.contents(table).size() / 2);
    CHECK_FALSE(opens_whole());
  }
  SECTION("a table gone") {
    env.lose_file(table);
    CHECK_FALSE(opens_whole());
  }
  SECTION("a bit of the MANIFEST") {
    env.flip_bit(manifest, 8 * 8);
    CHECK_FALSE(opens_whole());
  }
  SECTION("the MANIFEST gone") {
    env.lose_file(manifest);
    CHECK_FALSE(opens_whole());
  }
  SECTION("the MANIFEST's end gone: the last change is forgotten, and with it its table") {
    {
      auto changed = open(env);
      REQUIRE(changed.db->Put(synced, key_of(200), "one more").ok());
      const leveldb::Slice beyond{"9"};
      changed.db->CompactRange(&beyond, nullptr); // makes a table of it, and of nothing else
    }
    const auto last = newest(env, file_kind::manifest);
    env.cut_file(last, env.contents(last).size() - 1);
    auto [status, db] = open(env);
    REQUIRE(status.ok());
    CHECK_FALSE(all_of(*db).contains(key_of(200)));
  }
  SECTION("a bit of CURRENT") {
    env.flip_bit("/db/CURRENT", 10);
    CHECK_FALSE(opens_whole());
  }
  SECTION("CURRENT cut short") {
    env.cut_file("/db/CURRENT", 3);
    CHECK_FALSE(opens_whole());
  }
  SECTION("CURRENT gone: LevelDB takes it for a new database, if it may create one") {
    env.lose_file("/db/CURRENT");
    auto [status, db] = open(env);
    REQUIRE(status.ok());
    CHECK(all_of(*db).empty());
  }
}

TEST_CASE("the trace shows that what was acknowledged had been synced", "[fault_env]") {
  fault_env env{{.keep_log_contents = true}};
  auto [status, db] = open(env, 64u << 10);
  REQUIRE(status.ok());
  std::vector<std::pair<std::uint64_t, std::string>> marks;
  for (std::uint64_t n = 0; n < 100; ++n) {
    const auto value = value_of(n, 3'000); // over the blocks' ends, and several logs
    REQUIRE(db->Put(synced, key_of(n), value).ok());
    marks.emplace_back(env.mark(key_of(n)), value);
  }
  for (const auto& [number, value] : marks)
    CHECK(env.synced_before(number, value));
  const auto late = value_of(100, 3'000);
  REQUIRE(db->Put(unsynced, key_of(100), late).ok());
  CHECK_FALSE(env.synced_before(env.mark("too early"), late));
  CHECK_FALSE(env.first_durable("never written"));
}

} // namespace waybill::test
