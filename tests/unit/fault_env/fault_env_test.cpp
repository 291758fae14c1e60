// The fault Env by itself: POSIX where it works, and each fault where it does not.
#include "tests/support/fault_env.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <thread>

namespace waybill::test {
namespace {

using leveldb::Status;

std::unique_ptr<leveldb::WritableFile> new_file(fault_env& env, const std::string& path) {
  leveldb::WritableFile* file = nullptr;
  REQUIRE(env.NewWritableFile(path, &file).ok());
  return std::unique_ptr<leveldb::WritableFile>{file};
}

std::string after_cut(fault_env& env, const std::string& path, tail mode, std::uint64_t seed) {
  env.power_cut({.seed = seed, .mode = mode});
  env.reboot();
  return env.contents(path);
}

void write_synced(fault_env& env, const std::string& path, const std::string& bytes) {
  const auto file = new_file(env, path);
  REQUIRE(file->Append(bytes).ok());
  REQUIRE(file->Sync().ok());
}

} // namespace

TEST_CASE("names, directories and open files behave as POSIX says", "[fault_env]") {
  fault_env env;
  REQUIRE(env.CreateDir("/data").ok());
  CHECK(env.CreateDir("/data").IsIOError());
  CHECK(env.CreateDir("/no/where").IsNotFound());
  leveldb::WritableFile* none = nullptr;
  CHECK(env.NewWritableFile("/no/where", &none).IsNotFound());
  CHECK(none == nullptr);
  leveldb::SequentialFile* absent = nullptr;
  CHECK(env.NewSequentialFile("/data/a", &absent).IsNotFound());
  write_synced(env, "/data//a", "first");
  write_synced(env, "/data/b", "second");
  CHECK(env.FileExists("/data/a"));
  CHECK(env.FileExists("/data/"));
  CHECK(env.RemoveDir("/data").IsIOError());
  CHECK(env.RemoveFile("/data").IsNotFound());
  CHECK(env.RenameFile("/data/c", "/data/d").IsNotFound());

  SECTION("a name moves over another, and a directory takes all that is in it along") {
    REQUIRE(env.RenameFile("/data/a", "/data/b").ok());
    CHECK(env.contents("/data/b") == "first");
    REQUIRE(env.RenameFile("/data", "/moved").ok());
    std::vector<std::string> names;
    REQUIRE(env.GetChildren("/moved", &names).ok());
    std::ranges::sort(names);
    CHECK(names == std::vector<std::string>{".", "..", "b"});
    CHECK(env.GetChildren("/data", &names).IsNotFound());
    std::uint64_t bytes = 0;
    REQUIRE(env.GetFileSize("/moved/b", &bytes).ok());
    CHECK(bytes == 5);
    REQUIRE(env.RemoveFile("/moved/b").ok());
    CHECK(env.RemoveDir("/moved").ok());
  }
  SECTION("an open file outlives its name") {
    leveldb::RandomAccessFile* opened = nullptr;
    REQUIRE(env.NewRandomAccessFile("/data/a", &opened).ok());
    const std::unique_ptr<leveldb::RandomAccessFile> file{opened};
    REQUIRE(env.RemoveFile("/data/a").ok());
    CHECK_FALSE(env.FileExists("/data/a"));
    leveldb::Slice got;
    char scratch[8];
    REQUIRE(file->Read(1, sizeof scratch, &got, scratch).ok());
    CHECK(got.ToString() == "irst");
  }
  SECTION("a file opened to append keeps what it has") {
    leveldb::WritableFile* opened = nullptr;
    REQUIRE(env.NewAppendableFile("/data/a", &opened).ok());
    const std::unique_ptr<leveldb::WritableFile> file{opened};
    REQUIRE(file->Append(" and more").ok());
    CHECK(env.contents("/data/a") == "first and more");
  }
}

TEST_CASE("a lock is held once, until it is given back or the power is cut", "[fault_env]") {
  fault_env env;
  leveldb::FileLock* first = nullptr;
  leveldb::FileLock* second = nullptr;
  REQUIRE(env.LockFile("/LOCK", &first).ok());
  CHECK(env.LockFile("/LOCK", &second).IsIOError());
  CHECK(second == nullptr);
  env.power_cut({});
  CHECK(env.LockFile("/LOCK", &second).IsIOError());
  env.reboot();
  REQUIRE(env.LockFile("/LOCK", &second).ok());
  CHECK(env.UnlockFile(first).ok()); // from before the cut: frees nothing
  CHECK(env.LockFile("/LOCK", &first).IsIOError());
  CHECK(env.UnlockFile(second).ok());
}

TEST_CASE("a power cut takes what was not synced, in the shape that was asked for", "[fault_env]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{50}));
  CAPTURE(seed);
  fault_env env;
  write_synced(env, "/f", "synced");
  leveldb::WritableFile* opened = nullptr;
  REQUIRE(env.NewAppendableFile("/f", &opened).ok());
  const std::unique_ptr<leveldb::WritableFile> file{opened};
  const std::string more(10'000, 'x');
  REQUIRE(file->Append(more).ok());
  REQUIRE(file->Flush().ok()); // a flush is no sync
  CHECK(env.synced_bytes("/f") == 6);

  SECTION("lost") { CHECK(after_cut(env, "/f", tail::lost, seed) == "synced"); }
  SECTION("whole") { CHECK(after_cut(env, "/f", tail::whole, seed) == "synced" + more); }
  SECTION("torn") {
    const auto left = after_cut(env, "/f", tail::torn, seed);
    CHECK(("synced" + more).starts_with(left));
    CHECK(left.size() >= 6);
  }
  SECTION("zeros") {
    const auto left = after_cut(env, "/f", tail::zeros, seed);
    CHECK((left.size() == 10'006 || left.size() == 12'288));
    const auto zeros = std::min(left.find('\0'), left.size());
    CHECK(("synced" + more).starts_with(left.substr(0, zeros)));
    CHECK(left.find_first_not_of('\0', zeros) == std::string::npos);
  }
  SECTION("garbage") {
    const auto left = after_cut(env, "/f", tail::garbage, seed);
    CHECK((left.size() == 10'006 || left.size() == 12'288));
    CHECK(left.starts_with("synced"));
  }
  SECTION("pages") {
    const auto left = after_cut(env, "/f", tail::pages, seed);
    REQUIRE(left.size() == 10'006);
    CHECK(left.starts_with("synced"));
    CHECK((left[6] == left[4'095] && left[4'096] == left[8'191] && left[8'192] == left.back()));
  }
  CHECK(file->Append("dead").IsIOError());
  CHECK(file->Sync().IsIOError());
}

TEST_CASE("names survive in the order in which they changed", "[fault_env]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{50}));
  CAPTURE(seed);
  fault_env env;
  write_synced(env, "/old", "old");
  write_synced(env, "/new.dbtmp", "new");
  REQUIRE(env.RenameFile("/new.dbtmp", "/CURRENT").ok());
  REQUIRE(env.RemoveFile("/old").ok());

  SECTION("so a removal never outlives the renaming before it") {
    env.power_cut({.seed = seed});
    CHECK((env.contents("/CURRENT") == "new" || env.contents("/old") == "old"));
    CHECK((env.contents("/CURRENT") == "new") != (env.contents("/new.dbtmp") == "new"));
  }
  SECTION("and the sync of a file that was named later is a barrier for all of them") {
    write_synced(env, "/later", "later");
    env.power_cut({.seed = seed});
    CHECK(env.files() == std::vector<std::string>{"/CURRENT", "/later"});
  }
  SECTION("and so is the sync of a MANIFEST") {
    const auto manifest = new_file(env, "/MANIFEST-000001");
    REQUIRE(env.CreateDir("/d").ok());
    REQUIRE(manifest->Sync().ok());
    env.power_cut({.seed = seed});
    env.reboot();
    CHECK(env.files() == std::vector<std::string>{"/CURRENT", "/MANIFEST-000001"});
    CHECK(env.FileExists("/d"));
  }
}

TEST_CASE("a planned cut falls at its operation, and everything fails from there", "[fault_env]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  CAPTURE(seed);
  fault_env env;
  const auto file = new_file(env, "/f");
  env.cut_power_after(2, {.seed = seed, .mode = tail::lost});
  CHECK(file->Append("one").ok());
  CHECK(file->Sync().ok());
  CHECK_FALSE(env.is_off());
  CHECK(file->Append("two").IsIOError());
  CHECK(env.is_off());
  CHECK(file->Sync().IsIOError());
  CHECK_FALSE(env.FileExists("/f"));
  leveldb::WritableFile* none = nullptr;
  CHECK(env.NewWritableFile("/g", &none).IsIOError());
  env.reboot();
  CHECK(env.contents("/f") == "one");
}

TEST_CASE("a sync fails, lies or waits as told, where told", "[fault_env]") {
  fault_env env;
  const auto log = new_file(env, "/000001.log");
  const auto table = new_file(env, "/000002.ldb");
  REQUIRE(log->Append("bytes").ok());
  REQUIRE(table->Append("bytes").ok());

  SECTION("once") {
    env.add({.where = {.kind = file_kind::log}, .times = 1});
    CHECK(table->Sync().ok());
    CHECK(log->Sync().ToString().find("Input/output error") != std::string::npos);
    CHECK(
        log->Sync().ok()); // says so; but the kernel has dropped the bytes that it could not write
    CHECK(after_cut(env, "/000001.log", tail::whole, 0) == std::string(5, '\0'));
  }
  SECTION("from then on") {
    env.add({.where = {.pattern = "*.log"}, .after = 1});
    CHECK(log->Sync().ok());
    CHECK(log->Sync().IsIOError());
    CHECK(log->Sync().IsIOError());
    env.clear_faults();
    CHECK(log->Sync().ok());
  }
  SECTION("a lie") {
    env.add({.where = {.kind = file_kind::log}, .what = effect::lie});
    CHECK(log->Sync().ok());
    CHECK(env.counters().syncs_lied == 1);
    CHECK(after_cut(env, "/000001.log", tail::lost, 0).empty());
  }
  SECTION("a delay") {
    gate held;
    env.add({.where = {.kind = file_kind::log},
             .what = effect::call,
             .times = 1,
             .hook = [&held](const std::string&) { held.pass(); }});
    std::thread syncing{[&log] { (void)log->Sync(); }};
    held.await_arrival();
    CHECK(env.synced_bytes("/000001.log") == 0);
    CHECK(table->Sync().ok()); // nobody else waits
    held.open();
    syncing.join();
    CHECK(env.synced_bytes("/000001.log") == 5);
  }
}

TEST_CASE("a write fails, finds no space, or lands elsewhere", "[fault_env]") {
  fault_env env;
  write_synced(env, "/victim", "0123456789");
  const auto file = new_file(env, "/f");

  SECTION("it fails half way") {
    env.add({.on = operation::write, .times = 1});
    CHECK(file->Append("abcd").IsIOError());
    CHECK(file->Append("ef").ok());
    CHECK(env.contents("/f") == "abef");
  }
  SECTION("it finds no space, and later some") {
    env.limit_space(3);
    CHECK(file->Append("ab").ok());
    CHECK(file->Append("cd").ToString().find("No space left on device") != std::string::npos);
    CHECK(file->Append("e").IsIOError());
    env.limit_space(std::nullopt);
    CHECK(file->Append("fg").ok());
    CHECK(env.contents("/f") == "abcfg");
  }
  SECTION("it lands elsewhere") {
    env.add({.on = operation::write,
             .what = effect::misdirect,
             .times = 1,
             .victim = "/victim",
             .victim_offset = 8});
    CHECK(file->Append("abcd").ok());
    CHECK(env.contents("/f") == std::string(4, '\0'));
    CHECK(env.contents("/victim") == "01234567ab");
  }
  SECTION("other operations fail by their own names") {
    env.add({.on = operation::rename, .times = 1});
    env.add({.on = operation::remove, .times = 1});
    env.add({.where = {.pattern = "/g"}, .on = operation::create});
    env.add({.where = {.pattern = "/victim"}, .on = operation::read});
    CHECK(env.RenameFile("/f", "/h").IsIOError());
    CHECK(env.RemoveFile("/f").IsIOError());
    leveldb::WritableFile* none = nullptr;
    CHECK(env.NewWritableFile("/g", &none).IsIOError());
    leveldb::SequentialFile* opened = nullptr;
    REQUIRE(env.NewSequentialFile("/victim", &opened).ok());
    const std::unique_ptr<leveldb::SequentialFile> reading{opened};
    leveldb::Slice got;
    char scratch[4];
    CHECK(reading->Read(4, &got, scratch).IsIOError());
  }
}

TEST_CASE("damage by hand is there at once and for good", "[fault_env]") {
  fault_env env;
  write_synced(env, "/f", "abcd");
  write_synced(env, "/g", "abcd");
  env.flip_bit("/f", 8);
  CHECK(env.contents("/f") == "accd");
  env.overwrite("/f", 2, "xy");
  env.cut_file("/f", 3);
  env.lose_file("/g");
  CHECK(after_cut(env, "/f", tail::drawn, 1) == "acx");
  CHECK(env.files() == std::vector<std::string>{"/f"});
}

TEST_CASE("the trace tells events in order, and forgets the oldest beyond its bound",
          "[fault_env]") {
  fault_env env{{.events_max = 4}};
  const auto file = new_file(env, "/f");
  REQUIRE(file->Append("abc").ok());
  REQUIRE(file->Sync().ok());
  CHECK(env.mark("receipt 17") == 4);
  REQUIRE(env.RenameFile("/f", "/g").ok());
  const auto events = env.trace();
  REQUIRE(events.size() == 4);
  CHECK(events[0].number == 2);
  CHECK(events[0].kind == event_kind::write);
  CHECK(events[0].bytes == 3);
  CHECK(events[1].kind == event_kind::sync);
  CHECK(events[1].offset == 3);
  CHECK(events[2].kind == event_kind::mark);
  CHECK(events[2].file == "receipt 17");
  CHECK(events[3].target == "/g");
}

} // namespace waybill::test
