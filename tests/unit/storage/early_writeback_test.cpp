// The Env that has the disk begin early: what is written through it is what was given, and its own
// descriptors do not outlive the file. That it helps is measured (docs/performance.md).
#include "storage/early_writeback.hpp"

#include "tests/unit/storage/store_fixture.hpp"

#include <leveldb/env.h>

#include <filesystem>

namespace waybill {
namespace {

std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator each{"/proc/self/fd"};
  return std::distance(begin(each), end(each));
}

/// Writes `content` in pieces as LevelDB does, and syncs it.
void write(leveldb::Env& env, const std::string& path, const std::string& content, bool close) {
  leveldb::WritableFile* opened = nullptr;
  REQUIRE(env.NewWritableFile(path, &opened).ok());
  const std::unique_ptr<leveldb::WritableFile> file{opened};
  constexpr std::size_t piece = 65'541;
  for (std::size_t at = 0; at < content.size(); at += piece)
    REQUIRE(file->Append(content.substr(at, piece)).ok());
  REQUIRE(file->Flush().ok());
  REQUIRE(file->Sync().ok());
  if (close)
    REQUIRE(file->Close().ok());
}

TEST_CASE("what is written with early writeback is on the disk as it was given") {
  const auto env = early_writeback(leveldb::Env::Default());
  const test::temporary_directory directory;
  std::string content;
  for (std::uint64_t i = 0; content.size() < 3 * writeback_piece_bytes + 100; ++i)
    content += std::to_string(i * i);
  const auto before = open_descriptors();
  for (const auto* name : {"/000007.ldb", "/000008.log"})
    for (const bool close : {true, false}) {
      const auto path = directory.path().string() + name;
      write(*env, path, content, close);
      std::string read;
      REQUIRE(leveldb::ReadFileToString(leveldb::Env::Default(), path, &read).ok());
      CHECK(read == content);
    }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a table that cannot be created is told, and nothing stays open") {
  const auto env = early_writeback(leveldb::Env::Default());
  const auto before = open_descriptors();
  leveldb::WritableFile* file = nullptr;
  CHECK_FALSE(env->NewWritableFile("/nowhere/000001.ldb", &file).ok());
  CHECK(open_descriptors() == before);
}

} // namespace
} // namespace waybill
