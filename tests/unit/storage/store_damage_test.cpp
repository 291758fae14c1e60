// What cannot be trusted is said at start, by name: of one partition where it is known whose it
// was, of the directory otherwise.
#include "tests/unit/storage/store_fixture.hpp"

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <unistd.h>

#include <fstream>

namespace waybill {
namespace {

using Catch::Matchers::Contains;
using test::check_equal;
using test::must;

/// A database of the closed store, as it lies on the disk.
std::unique_ptr<leveldb::DB> raw(const std::filesystem::path& path) {
  leveldb::DB* database = nullptr;
  const auto status = leveldb::DB::Open({}, path.string(), &database);
  INFO(status.ToString());
  REQUIRE(status.ok());
  return std::unique_ptr<leveldb::DB>{database};
}

std::string key_of(std::uint64_t sequence) {
  std::string key;
  for (int i = 7; i >= 0; --i)
    key.push_back(static_cast<char>(sequence >> (8 * i)));
  return key;
}

std::string encoded(const entry& e) {
  std::string bytes;
  encode_entry(e, bytes);
  return bytes;
}

failure refusal(test::store_fixture& store) {
  auto opened = store.try_open();
  REQUIRE_FALSE(opened);
  return opened.error();
}

/// Two logs, turn by turn: sequence numbers 1, 3, 5 … are the first one's.
struct two_logs {
  test::store_fixture store{test::medium::disk};
  std::optional<test::log_maker> hurt;
  std::optional<test::log_maker> whole;
  explicit two_logs(std::uint64_t generation_entries, int rounds) {
    store.options.generation_entries = generation_entries;
    store.open();
    hurt = store.begin(1);
    whole = store.begin(2);
    for (int i = 0; i < rounds; ++i)
      store.write({hurt->next(), whole->next()});
  }
  failure damage() {
    store.open();
    CHECK_FALSE(store->recovered().at(whole->partition()).damage);
    check_equal(store.read_all(whole->partition()), whole->all());
    REQUIRE(store->recovered().at(hurt->partition()).damage);
    return *store->recovered().at(hurt->partition()).damage;
  }
};

TEST_CASE("a directory is used by one process at a time, which is named", "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.open();
  auto why = refusal(store);
  CHECK(why.code == ec::directory_held);
  CHECK_THAT(why.detail, Contains("in use by process " + std::to_string(::getpid())));
  store.reopen();
}

TEST_CASE("a directory of another version is refused", "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.open();
  store.close();
  std::ofstream{store.options.directory / "FORMAT"} << "waybill data directory, version 2\n";
  CHECK(refusal(store).code == ec::version_unsupported);
  std::ofstream{store.options.directory / "FORMAT"} << "something else\n";
  CHECK(refusal(store).code == ec::damaged);
}

TEST_CASE("a directory that has lost a part of itself is refused", "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 15; ++i)
    store.write({log.next()});
  store.close();
  const auto lost = GENERATE("state", "FORMAT", "journal/000002", "state/CURRENT",
                             "journal/000002/CURRENT", "journal");
  INFO(lost);
  std::filesystem::remove_all(store.options.directory / lost);
  const auto why = refusal(store);
  CHECK(why.code == ec::damaged);
  CHECK_THAT(why.detail, Contains("restore"));
  CHECK_FALSE(std::filesystem::exists(store.options.directory / lost / "CURRENT"));
  CHECK(refusal(store).code == ec::damaged); // and asking again does not make it better
}

TEST_CASE("a sealed generation that is missing damages those who had entries in it",
          "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.options.generation_entries = 10;
  store.open();
  auto hurt = store.begin(1);
  auto whole = store.begin(2);
  for (int i = 0; i < 10; ++i)
    store.write({hurt.next()});
  for (int i = 0; i < 15; ++i)
    store.write({whole.next()});
  store.close();
  const auto lost = GENERATE("", "CURRENT", "MANIFEST-000002");
  std::filesystem::remove_all(store.generation(1) / lost);
  store.open();
  CHECK_FALSE(store->recovered().at(whole.partition()).damage);
  check_equal(store.read_all(whole.partition()), whole.all());
  REQUIRE(store->recovered().at(hurt.partition()).damage);
  CHECK_THAT(store->recovered().at(hurt.partition()).damage->detail, Contains("generation 000001"));
  CHECK(store->read(hurt.partition(), log_index{1}, 1).error().code == ec::damaged);
  write_set set;
  set.entries = {hurt.next()};
  CHECK(store->write(set).error().code == ec::damaged);
  must(store->end_copy(hurt.partition())); // the way on: a new copy
  store.reopen();
  CHECK_FALSE(store->recovered().contains(hurt.partition()));
  must(store->begin_copy(hurt.partition(), copy_id{77}));
  store.reopen();
  CHECK_FALSE(store->recovered().at(hurt.partition()).damage);
}

TEST_CASE("an entry that is missing in the active generation is a hole", "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.close();
  raw(logs.store.generation(1))->Delete({}, key_of(7));
  CHECK_THAT(logs.damage().detail, Contains("entry 4 of partition"));
}

TEST_CASE("an entry whose bytes were changed damages its partition", "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.close();
  const auto sequence = GENERATE(7, 19); // amid the log, and at its end
  auto bytes = encoded(logs.hurt->at((sequence + 1) / 2));
  bytes[100] ^= 1;
  raw(logs.store.generation(1))->Put({}, key_of(sequence), bytes);
  CHECK_THAT(logs.damage().detail, Contains("sequence number " + std::to_string(sequence)));
}

TEST_CASE("an entry of which nobody can say whose it was damages the directory",
          "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.close();
  raw(logs.store.generation(1))->Put({}, key_of(19), "rubbish");
  CHECK(refusal(logs.store).code == ec::damaged);
}

TEST_CASE("an entry of another chain damages its partition", "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.close();
  auto forged = logs.hurt->at(4);
  forged.body = shared_bytes{std::string(100, 'x')};
  forged.hash = chain_hash(forged); // good in itself
  raw(logs.store.generation(1))->Put({}, key_of(7), encoded(forged));
  CHECK_THAT(logs.damage().detail, Contains("breaks at entry 5"));
}

TEST_CASE("a sealed entry that was changed is found when it is read", "[store][damage]") {
  two_logs logs{10, 10};
  logs.store.close();
  auto forged = logs.hurt->at(2);
  forged.body = shared_bytes{std::string(100, 'x')};
  forged.hash = chain_hash(forged);
  raw(logs.store.generation(1))->Put({}, key_of(3), encoded(forged));
  logs.store.open();
  const auto id = logs.hurt->partition();
  CHECK(must(logs.store->read(id, log_index{1}, 1u << 20)).size() == 1);
  const auto bad = logs.store->read(id, log_index{2}, 1u << 20);
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == ec::damaged);
  CHECK_THAT(bad.error().detail, Contains("entry 2 of partition"));
  CHECK(logs.store->entry_at(id, log_index{2}).error().code == ec::damaged);
  CHECK(must(logs.store->read(id, log_index{3}, 1u << 20)).size() == 8);
}

TEST_CASE("a page of a table that was changed damages its partition", "[store][damage]") {
  two_logs logs{10, 12};
  logs.store.close();
  const auto database = raw(logs.store.generation(1));
  std::string page;
  const std::string key{"\xffP\0\0\0\0", 6};
  REQUIRE(database->Get({}, key, &page).ok());
  page[20] ^= 1;
  database->Put({}, key, page);
  const_cast<std::unique_ptr<leveldb::DB>&>(database).reset();
  CHECK_THAT(logs.damage().detail, Contains("page 0"));
}

TEST_CASE("a journal that ends before what is known to be written is refused", "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.checkpoint_at_end(*logs.hurt);
  logs.store.close();
  SECTION("when the end is known") {
    raw(logs.store.generation(1))->Delete({}, key_of(20));
    raw(logs.store.generation(1))->Delete({}, key_of(19));
    CHECK_THAT(refusal(logs.store).detail, Contains("its end is lost"));
  }
  SECTION("when a checkpoint knows it") {
    raw(logs.store.generation(1))->Delete({}, key_of(19));
    CHECK_THAT(logs.damage().detail, Contains("its checkpoint stands at 10"));
  }
}

TEST_CASE("a checkpoint of another log damages its partition", "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.checkpoint_at_end(*logs.hurt);
  logs.store.close();
  auto forged = logs.hurt->at(10);
  forged.body = shared_bytes{std::string(100, 'x')};
  forged.hash = chain_hash(forged);
  raw(logs.store.generation(1))->Put({}, key_of(19), encoded(forged));
  CHECK_THAT(logs.damage().detail, Contains("is of another log"));
}

TEST_CASE("a record of one partition that was changed damages that partition", "[store][damage]") {
  two_logs logs{1'000, 10};
  logs.store.checkpoint_at_end(*logs.hurt);
  logs.store.close();
  const char kind = GENERATE('k', 'c');
  const auto key = std::string{kind} + key_of(1) + std::string(4, '\0');
  {
    const auto database = raw(logs.store.options.directory / "state");
    std::string value;
    REQUIRE(database->Get({}, key, &value).ok());
    value.back() ^= 1;
    database->Put({}, key, value);
  }
  CHECK_THAT(logs.damage().detail, Contains("damaged record"));
}

TEST_CASE("a partition whose record is gone is damaged, not forgotten", "[store][damage]") {
  two_logs logs{10, 12};
  logs.store.close();
  raw(logs.store.options.directory / "state")->Delete({}, "c" + key_of(1) + std::string(4, '\0'));
  CHECK_THAT(logs.damage().detail, Contains("no copy of it was begun"));
}

TEST_CASE("a checkpoint that is missing after entries were dropped is damage", "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 15; ++i)
    store.write({log.next()});
  store.checkpoint_at_end(log);
  store.tidy_all();
  store.close();
  raw(store.options.directory / "state")->Delete({}, "k" + key_of(1) + std::string(4, '\0'));
  store.open();
  REQUIRE(store->recovered().at(log.partition()).damage);
  CHECK_THAT(store->recovered().at(log.partition()).damage->detail, Contains("is missing"));
}

TEST_CASE("a journal that is newer than the small store is refused", "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  store.write({log.next()});
  store.close();
  const auto saved = store.options.directory / "saved";
  std::filesystem::copy(store.options.directory / "state", saved,
                        std::filesystem::copy_options::recursive);
  store.open();
  for (int i = 0; i < 15; ++i)
    store.write({log.next()});
  store.close();
  std::filesystem::remove_all(store.options.directory / "state");
  std::filesystem::rename(saved, store.options.directory / "state");
  CHECK(refusal(store).code == ec::damaged);
}

TEST_CASE("a generation that was opened ahead and never used leaves nothing behind",
          "[store][damage]") {
  test::store_fixture store{test::medium::disk};
  store.options.generation_entries = 10;
  store.open();
  auto log = store.begin(1);
  for (int i = 0; i < 7; ++i)
    store.write({log.next()});
  store.close();
  std::filesystem::create_directories(store.generation(2)); // begun at half, or amid beginning it
  std::ofstream{store.generation(2) / "LOCK"};
  store.open();
  CHECK_FALSE(std::filesystem::exists(store.generation(2)));
  for (int i = 0; i < 20; ++i)
    store.write({log.next()});
  check_equal(store.read_all(log.partition()), log.all());
}

} // namespace
} // namespace waybill
