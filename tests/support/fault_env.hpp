// A LevelDB Env that keeps all files in memory, on a `fault_disk`: it can cut the power, fail, hold
// up or lie about a sync, fail and misdirect writes, run out of space and damage files; and it
// keeps a trace that shows what was durable when.
//
// Use: open databases (or a store) with it; `power_cut`, or `cut_power_after`; destroy the
// databases, which by then can do nothing any more; `reboot`; open them again. The Env must outlive
// its databases. The logger it hands out keeps nothing. Thread-safe. Deterministic as far as its
// callers are: LevelDB compacts on a thread of its own, so a cut that is counted in operations
// falls at the same one only while nothing compacts.
//
// What LevelDB 1.23 with `paranoid_checks` answers when it opens a database after a power cut or
// damage (tests/unit/fault_env/leveldb_test.cpp shows each):
//   * A log that ends amid a record, also amid its header or between two fragments of one record:
//   cut
//     there, in silence. That holds for each log by itself: an older log may have lost its unsynced
//     end while a newer one has all. LevelDB syncs only the newest log, so a synced write does not
//     save unsynced ones before it.
//   * A tail of zeros: where they begin at a record's end, cut in silence, and so are zeros in
//   place of
//     whole records of a block, after which reading goes on with the next block: a gap that nobody
//     reports. Where they begin amid a record: mostly `Corruption: checksum mismatch`, the database
//     does not open, though all that is missing was never synced. Amid a record of several blocks:
//     "missing start of fragmented record" or "error in middle of record", or the record is cut
//     like a torn one.
//   * A tail of garbage: `Corruption` (checksum mismatch, bad record length), but in the last block
//   cut
//     in silence when what stands where a length should is larger than what is left.
//   * For the same reason a flipped bit in synced data is found, but not one that lengthens a
//   record of
//     the log's last block beyond the file's end: that record and all after it are cut in silence.
//   * A log cut short or removed: silence. A MANIFEST cut at a record's end: an older state,
//   silence
//     unless a table that it names is gone. A CURRENT that is gone: a new database, when
//     `create_if_missing` is set. Tables, the rest of a MANIFEST, CURRENT's contents: found,
//     tables' data when it is read with `verify_checksums`.
//   * A write that fails (no space) leaves a part of its record, and LevelDB takes later writes,
//   answers
//     them well, and loses them or refuses to open: after any failed write a database must be given
//     up. After a failed sync of a log it refuses all later writes by itself.
#pragma once

#include "tests/support/fault_disk.hpp"
#include "tests/support/fault_trace.hpp"

#include <leveldb/env.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace waybill::test {

/// Files by what they are and by the shell pattern of their whole path (`*` crosses slashes).
struct file_match {
  file_kind kind = file_kind::any;
  std::string pattern = "*";
  [[nodiscard]] bool fits(const std::string& path) const;
};

enum class operation : std::uint8_t { create, write, sync, read, remove, rename };
enum class effect : std::uint8_t {
  fail,      ///< an IOError with `message`; a failed write leaves a prefix of half its bytes
  lie,       ///< of a sync: answers well and makes nothing durable
  misdirect, ///< of a write: the bytes go over those of `victim`; zeros stand where they should
  call,      ///< calls `hook` before the operation, without a lock: it may wait for a `gate`
};

constexpr auto for_ever = std::numeric_limits<std::uint64_t>::max();

/// What shall go wrong, and where.
struct fault {
  file_match where{};
  operation on = operation::sync;
  effect what = effect::fail;
  std::uint64_t after = 0;        ///< matching operations that go well first
  std::uint64_t times = for_ever; ///< how many then do not
  std::string message = "Input/output error";
  std::function<void(const std::string& file)> hook{};
  std::string victim{}; ///< path; none: the bytes are lost
  std::uint64_t victim_offset = 0;
};

/// Where an operation waits until a test lets it go on.
class gate {
public:
  /// In a fault's hook: waits until `open`.
  void pass();
  /// In the test: returns when somebody waits at the gate.
  void await_arrival();
  void open();

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;
  bool open_ = false;
};

struct power_cut_options {
  std::uint64_t seed = 0;
  tail mode = tail::drawn;
};

struct fault_counters {
  std::uint64_t writes = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t syncs = 0; ///< that did what they say
  std::uint64_t syncs_failed = 0;
  std::uint64_t syncs_lied = 0;
  std::uint64_t operations = 0; ///< all that change something, as `cut_power_after` counts
  std::uint64_t power_cuts = 0;
};

class fault_env final : public leveldb::Env {
public:
  explicit fault_env(trace_options options = {});
  ~fault_env() override;

  // ---- power -----------------------------------------------------------------------------------
  /// Everything unsynced is gone, all handles and locks are dead, every operation fails.
  cut_report power_cut(power_cut_options options);
  /// The same by itself, at the operation after `operations` more (creating, writing, syncing,
  /// removing, renaming, making directories). What that one did is done or not, as the seed says.
  void cut_power_after(std::uint64_t operations, power_cut_options options);
  void cancel_cut();
  [[nodiscard]] bool is_off() const;
  /// Ends a power cut; what was left is durable. @pre everything that used the Env was destroyed
  void reboot();
  [[nodiscard]] cut_report last_cut() const;

  // ---- faults ----------------------------------------------------------------------------------
  /// In force from now on; the first fault that fits an operation is the one that acts.
  void add(fault what);
  void clear_faults();
  /// After so many more bytes, writes fail with "No space left on device"; nothing: there is space.
  /// The write that crosses the end leaves what fitted.
  void limit_space(std::optional<std::uint64_t> bytes_left);

  // ---- damage by hand; durable at once, also while the power is off
  // ------------------------------
  void flip_bit(const std::string& path, std::uint64_t bit);
  void overwrite(const std::string& path, std::uint64_t offset, const std::string& bytes);
  void cut_file(const std::string& path, std::uint64_t size);
  void lose_file(const std::string& path);

  // ---- looking ---------------------------------------------------------------------------------
  [[nodiscard]] std::vector<std::string> files(const file_match& which = {}) const;
  /// Empty when there is no such file.
  [[nodiscard]] std::string contents(const std::string& path) const;
  [[nodiscard]] std::uint64_t synced_bytes(const std::string& path) const;
  [[nodiscard]] fault_counters counters() const;
  /// Puts words into the trace. @returns the event's number
  std::uint64_t mark(const std::string& words);
  [[nodiscard]] std::vector<event> trace() const;
  /// The first sync after which a log held a whole record with these bytes in it durably.
  /// @pre trace_options::keep_log_contents
  [[nodiscard]] std::optional<std::uint64_t> first_durable(const std::string& pattern) const;
  /// Whether that was before the event of this number.
  [[nodiscard]] bool synced_before(std::uint64_t number, const std::string& pattern) const;
  /// Makes a directory and those above it, durably, as an administrator would have.
  void make_directories(const std::string& path);

  // ---- leveldb::Env ----------------------------------------------------------------------------
  leveldb::Status NewSequentialFile(const std::string& name,
                                    leveldb::SequentialFile** file) override;
  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;
  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
  leveldb::Status NewAppendableFile(const std::string& name, leveldb::WritableFile** file) override;
  bool FileExists(const std::string& name) override;
  leveldb::Status GetChildren(const std::string& directory,
                              std::vector<std::string>* names) override;
  leveldb::Status RemoveFile(const std::string& name) override;
  leveldb::Status DeleteFile(const std::string& name) override { return RemoveFile(name); }
  leveldb::Status CreateDir(const std::string& name) override;
  leveldb::Status RemoveDir(const std::string& name) override;
  leveldb::Status DeleteDir(const std::string& name) override { return RemoveDir(name); }
  leveldb::Status GetFileSize(const std::string& name, std::uint64_t* bytes) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status LockFile(const std::string& name, leveldb::FileLock** lock) override;
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override;
  /// Whether this thread does LevelDB's own work (compactions), and not what somebody asks for.
  [[nodiscard]] static bool in_background() noexcept;
  void Schedule(void (*function)(void*), void* argument) override;
  void StartThread(void (*function)(void*), void* argument) override;
  leveldb::Status GetTestDirectory(std::string* path) override;
  leveldb::Status NewLogger(const std::string& name, leveldb::Logger** logger) override;
  std::uint64_t NowMicros() override;
  void SleepForMicroseconds(int micros) override;

private:
  /// An open file; dead once the power was cut after it was opened.
  struct handle {
    fault_env* env;
    std::string path; ///< by which it was opened
    file_ptr file;
    std::uint64_t boot;
  };
  class sequential;
  class random_access;
  class writable;
  struct held_lock;
  struct planned_cut {
    std::uint64_t operations_left;
    power_cut_options options;
  };
  using lock = std::unique_lock<std::mutex>;

  // `append`, `sync`, `read`, `open_to_write` and `work` lock by themselves; all others @pre mutex_
  // is held, and those that take the lock let go of it while a hook runs.
  [[nodiscard]] leveldb::Status check_alive(const handle& which) const;
  [[nodiscard]] leveldb::Status check_on() const;
  /// The fault that acts on this operation, counted; hooks are called.
  std::optional<fault> meet_fault(lock& held, operation on, const std::string& path);
  /// Does `action` and counts it; at the planned cut the power fails just before or after it.
  leveldb::Status operate(const std::function<leveldb::Status()>& action);
  cut_report cut_now(power_cut_options options);
  leveldb::Status append(const handle& to, const leveldb::Slice& data);
  leveldb::Status write_bytes(const handle& to, const leveldb::Slice& data,
                              const std::optional<fault>& met);
  leveldb::Status misdirect(const handle& from, const leveldb::Slice& data, const fault& met);
  leveldb::Status sync(const handle& what);
  leveldb::Status read(const handle& from, std::uint64_t offset, std::size_t bytes,
                       leveldb::Slice* result, char* scratch);
  leveldb::Status open_to_write(const std::string& name, bool keep, leveldb::WritableFile** file);
  /// A fault, or else `action`, which changes names.
  leveldb::Status change_names(lock& held, operation on, const std::string& path,
                               const std::function<leveldb::Status()>& action);
  void work();

  mutable std::mutex mutex_;
  fault_disk disk_;
  fault_trace trace_;
  fault_counters counters_;
  std::vector<fault> faults_;
  std::optional<std::uint64_t> space_left_;
  std::set<std::string> locks_;
  std::uint64_t boot_ = 1;
  bool off_ = false;
  std::optional<planned_cut> planned_;
  cut_report last_cut_;

  std::condition_variable work_arrived_;
  std::deque<std::pair<void (*)(void*), void*>> work_;
  bool stopping_ = false;
  std::thread worker_;
};

} // namespace waybill::test
