// A disk in memory that remembers what was synced, and forgets the rest when its power is cut.
//
// The model, and why it is fair to a program that runs on ext4 or XFS:
//   * Files grow at their end only (all that LevelDB's Env can ask for). What was in a file when it
//   was
//     synced survives. A sector that holds synced bytes and is written again with more behind them
//     keeps the synced ones: disks write sectors whole.
//   * Bytes behind the last sync may survive in any shape: see `tail`.
//   * Creating, renaming and removing a name (and a directory) go, in their order, through one
//   journal,
//     as on journalling file systems. A power cut keeps a prefix of it, of any length down to the
//     last barrier. Syncing a file is a barrier for the last operation that named this file and for
//     all before it: fdatasync of a new file commits the transaction that created it (ext4 and XFS
//     do; the letter of POSIX does not promise it). LevelDB itself stands on that: it syncs a
//     directory only with a MANIFEST, so between a new log's first synced write and the next
//     MANIFEST nothing else makes the log's name last. Syncing a MANIFEST is a barrier for
//     everything, as in LevelDB's own Env, which syncs the directory then.
//   * btrfs does without: there the sync of a file says nothing of other names. Hence no more is
//   taken
//     from it here than the file's own name and what came before.
//   * Names survive without contents: a renamed file whose bytes were not synced may come back
//   empty.
//   * After a sync that failed, the kernel may drop the pages and call them clean. So bytes that a
//     failed sync left behind are in doubt for ever: a later sync of the file does not save them.
// Not thread-safe: `fault_env` locks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace waybill::test {

/// What a power cut leaves of the bytes behind a file's last sync.
enum class tail : std::uint8_t {
  lost,    ///< nothing
  whole,   ///< all of them
  torn,    ///< a prefix that ends at a random byte, perhaps amid a record
  zeros,   ///< a prefix, then zeros to the old end, or to the end of its page
  garbage, ///< a prefix, then random bytes to the old end, or to the end of its page
  pages,   ///< each page of 4 KiB either as it was written or zeros
  drawn,   ///< one of the above, drawn for each file
};

/// What LevelDB makes of a file by its name.
enum class file_kind : std::uint8_t { any, log, table, manifest, current, lock, temporary, other };
[[nodiscard]] file_kind kind_of(const std::string& path);

/// A file's bytes; alive while it has a name or somebody has it open.
struct file_node {
  std::string data;
  std::uint64_t synced = 0; ///< bytes from the beginning that survive
  std::vector<std::pair<std::uint64_t, std::uint64_t>> in_doubt; ///< [first, end) of failed syncs
};
using file_ptr = std::shared_ptr<file_node>;

/// What a power cut did to one file.
struct file_loss {
  std::string file;
  tail mode = tail::lost;
  std::uint64_t synced = 0;
  std::uint64_t unsynced = 0; ///< bytes behind it before the cut
  std::uint64_t kept = 0;     ///< bytes behind it after the cut, good or bad
};
struct cut_report {
  std::vector<file_loss> files;      ///< those that had unsynced bytes
  std::uint64_t operations_lost = 0; ///< of directories, beyond the last barrier
};

class fault_disk {
public:
  fault_disk();

  [[nodiscard]] file_ptr find(const std::string& path) const;
  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] bool parent_exists(const std::string& path) const;
  /// Names in a directory, of files and directories.
  [[nodiscard]] std::vector<std::string> children(const std::string& directory) const;
  [[nodiscard]] const std::map<std::string, file_ptr>& files() const { return now_.files; }
  [[nodiscard]] const std::set<std::string>& directories() const { return now_.directories; }

  /// A new, empty file under this name; one that had the name before is without it.
  file_ptr create(const std::string& path);
  void make_directory(const std::string& path);
  void remove(const std::string& path);
  void remove_directory(const std::string& path);
  /// Of a file, or of a directory with all that is in it; atomic.
  void rename(const std::string& from, const std::string& to);
  /// Makes the file's bytes durable, and names as the model says.
  void sync(const std::string& path, const file_ptr& file);
  void sync_failed(const file_ptr& file);
  /// The file is gone, durably, as if it had never been.
  void lose(const std::string& path);
  /// Makes everything durable as it is.
  void sync_all();
  cut_report power_cut(std::mt19937_64& random, tail mode);

private:
  enum class change : std::uint8_t { create, make_directory, remove, remove_directory, rename };
  struct operation {
    change what;
    std::string path;
    std::string target;
    file_ptr file;
  };
  struct tree {
    std::map<std::string, file_ptr> files;
    std::set<std::string> directories;
  };

  static void apply(tree& names, const operation& what);
  void change_names(operation what);
  void make_names_durable(std::size_t operations);
  tree now_;
  tree durable_;
  std::vector<operation> pending_;
};

/// Slashes are single, and none is at the end.
[[nodiscard]] std::string clean_path(const std::string& path);
[[nodiscard]] std::string parent_of(const std::string& path);
[[nodiscard]] std::string name_of(const std::string& path);

} // namespace waybill::test
