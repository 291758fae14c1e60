// What all LevelDB databases of a data directory have in common: the Env, the cache, the options,
// and how a Status becomes a failure. Only .cpp files see LevelDB's own headers.
#pragma once

#include "storage/error.hpp"
#include "storage/sync_counter.hpp"

#include <cstdint>

#include <memory>
#include <string>
#include <vector>

namespace leveldb {
class Cache;
class DB;
class Env;
class Logger;
class Status;
struct Options;
} // namespace leveldb

namespace waybill {

/// Shared by the databases of one directory; outlives them.
class level_context {
public:
  /// @param env null: LevelDB's default
  level_context(leveldb::Env* env, std::uint64_t write_buffer_bytes,
                std::uint64_t block_cache_bytes);
  ~level_context();
  level_context(const level_context&) = delete;
  level_context& operator=(const level_context&) = delete;

  [[nodiscard]] leveldb::Env* env() const noexcept { return syncs_.env(); }
  /// Calls of `fdatasync` and `fsync` so far, of files and of directories. Any thread.
  [[nodiscard]] std::uint64_t sync_calls() const noexcept { return syncs_.calls(); }
  /// Large blocks, no compression, everything checked. Opens what exists, and only that.
  [[nodiscard]] leveldb::Options journal_options() const;
  [[nodiscard]] leveldb::Options state_options() const;
  /// Creates the directory and those above it, where they are missing.
  void make_directories(const std::string& path) const;
  /// Makes the names in a directory last, on a real file system; an Env of a test has its own
  /// rules. @errors `storage_failed`
  [[nodiscard]] result<void> sync_directory(const std::string& path) const;
  /// Names in a directory, without `.` and `..`; none when it does not exist. @errors
  /// `storage_failed`: it cannot be read, which says nothing of what is in it
  [[nodiscard]] result<std::vector<std::string>> children(const std::string& path) const;
  /// Whether a database was once begun there and still has its CURRENT file.
  [[nodiscard]] bool has_database(const std::string& path) const;

private:
  bool real_;
  std::unique_ptr<leveldb::Env> early_; ///< none above an Env of a test
  mutable sync_counter syncs_;
  std::uint64_t write_buffer_bytes_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<leveldb::Logger> logger_;
};

/// After a write: always `storage_failed`, for what is on the disk is then unknown.
[[nodiscard]] failure write_failure(const leveldb::Status& status, const std::string& where);
/// After opening or reading: what cannot be trusted is `damaged`, what cannot be read
/// `storage_failed`.
[[nodiscard]] failure read_failure(const leveldb::Status& status, const std::string& where);

} // namespace waybill
