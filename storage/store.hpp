// A node's data directory: the journal of all entries of all its partitions, and the small store of
// what they amount to (epochs promised, checkpoints, dead letters, the embedded coordinator's
// records). Everything that touches LevelDB is behind this class. Source: docs/design.md,
// section 5.
//
// Threads: `open` and everything marked [writer] belong to one thread, the storage writer's. What
// is marked [any] may be called from any thread at any time, also while the writer writes. A call
// marked [writer] that answers `storage_failed` ends the store: what is on the disk is unknown,
// every later [writer] call answers `storage_failed` too, and nothing is ever retried.
#pragma once

#include "storage/entry.hpp"
#include "storage/error.hpp"
#include "storage/records.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace leveldb {
class Env;
}

namespace waybill {

/// Sizes that the store needs; from `storage_limits` of the page of limits (config/limits.hpp).
struct store_options {
  std::filesystem::path directory;
  std::uint64_t generation_bytes = 1u << 30;
  std::uint64_t generation_entries = 1'000'000;
  std::uint64_t write_buffer_bytes = 16u << 20;
  std::uint64_t block_cache_bytes = 32u << 20;
  std::uint64_t open_generations_max = 16;
  std::uint64_t tables_bytes_max = 64u << 20;
  std::uint64_t empty_below_percent = 10;
  leveldb::Env* env = nullptr; ///< null: LevelDB's default; tests put the fault Env here
  /// Bytes free on the directory's disk; null: as its file system says. Any thread.
  std::function<std::uint64_t()> disk_free{};
  /// A line for people: what recovery found and did (a cut tail, a finished destruction). May be
  /// null.
  std::function<void(const std::string&)> log;
};

/// What a checkpoint says: the partition's state, and which messages some group may still need.
struct checkpoint {
  partition_snapshot state;
  /// Offsets below `state.next_offset` that must stay: not settled by every group, or all of them
  /// when there is no group. Ascending, disjoint. Entries at or below `state.at` whose messages all
  /// lie outside are dead, and so is every entry at or below it that carries no messages.
  std::vector<offset_range> needed;
};

/// A dead letter to keep or to remove, in the order in which the log says so.
struct dead_letter_put {
  partition_id partition;
  std::string group;
  dead_letter letter;
};
struct dead_letter_removed {
  partition_id partition;
  std::string group;
  message_offset offset;
};

/// One group commit. All of it is on disk, synced, when `write` returns well.
struct write_set {
  /// Per partition consecutive, from the log's last index + 1 on.
  std::vector<entry> entries;
  /// Coordinator's and other small records, by key; an empty value removes.
  std::vector<std::pair<std::string, std::string>> records;
  /// Epochs promised; never lower than the one promised before (asserted).
  std::vector<std::pair<partition_id, epoch>> promises;
};

/// What dropping has taken away from one partition; synced before anything is destroyed.
struct dropped_range {
  index_range entries;
  hash128 before;       ///< the chain just before the first: `previous` of the first dropped entry
  hash128 after;        ///< the chain at the last dropped entry
  offset_range offsets; ///< from the first to the end of the last dropped entry's messages
};
struct dropped_books {
  std::vector<dropped_range> ranges; ///< ascending, disjoint; adjacent ones are merged
  std::uint64_t messages = 0;        ///< messages in them, counted as each entry was dropped
};

/// A partition as recovery found it.
struct recovered_partition {
  partition_id id;
  copy_id copy;
  epoch promised;
  std::optional<partition_snapshot> checkpointed; ///< none: from the first entry on
  log_position last;                              ///< the log's end; index 0 when empty
  message_offset next_offset;                     ///< after the log's last message
  wall_time last_stamp{};
  /// A hole, a checksum or chain that does not match, a missing checkpoint: this copy does not
  /// serve.
  std::optional<failure> damage;
};

/// Keeps destruction waiting while somebody walks through the log.
class store_pin {
public:
  virtual ~store_pin() = default;
};

/// Sums for metrics, benchmarks and alarms.
struct store_statistics {
  std::uint64_t syncs = 0;      ///< synced group commits of the journal
  std::uint64_t sync_calls = 0; ///< `fdatasync` and `fsync`, of all files and directories
  std::uint64_t entries_written = 0;
  std::uint64_t bytes_written = 0; ///< of encoded entries, rewritten ones included
  std::uint64_t generations = 0;
  std::uint64_t generations_destroyed = 0;
  std::uint64_t entries_rewritten = 0;
  std::uint64_t table_bytes = 0; ///< of tables of contents in memory, the active one included
};

class store {
public:
  /// Creates the directory when it is missing. Reads checkpoints and tables, scans the active
  /// generation, checks chains. A partition's damage is in its `recovered_partition`, not an error.
  /// @errors `directory_held`: the detail names the process that holds it; `damaged`: the directory
  /// as a whole cannot be trusted; `version_unsupported`; `storage_failed`; `disk_full`
  [[nodiscard]] static result<std::unique_ptr<store>> open(store_options options);
  virtual ~store() = default;

  [[nodiscard]] virtual const std::map<partition_id, recovered_partition>& recovered() const = 0;

  // ---- [writer] --------------------------------------------------------------------------------
  /// Begins an empty copy of a partition under a fresh name; synced.
  [[nodiscard]] virtual result<void> begin_copy(partition_id partition, copy_id copy) = 0;
  /// Ends a copy for good, by a dated, synced record; its entries are dropped with their
  /// generations.
  [[nodiscard]] virtual result<void> end_copy(partition_id partition) = 0;
  /// Writes all of it, synced, or fails. May seal the active generation and go on in the next.
  /// @errors `storage_failed`, `disk_full` (nothing of it was written; the store goes on)
  [[nodiscard]] virtual result<void> write(const write_set& what) = 0;
  /// Drops the log after `keep`, which must not be below a checkpoint's position. Synced on return,
  /// from the top down through sealed generations, then writes `replacement` (may be empty).
  [[nodiscard]] virtual result<void> truncate(partition_id partition, log_index keep,
                                              std::span<const entry> replacement) = 0;
  /// In the order given, not synced: the next checkpoint's sync covers it, and replaying repeats
  /// it.
  [[nodiscard]] virtual result<void> write_dead_letters(
      std::span<const std::variant<dead_letter_put, dead_letter_removed>> changes) = 0;
  /// Synced. From then on what the checkpoint says is dead may be dropped.
  [[nodiscard]] virtual result<void>
  write_checkpoints(std::span<const std::pair<partition_id, checkpoint>> checkpoints) = 0;
  /// One bounded step of tidying: destroys a dead generation, or empties one that is nearly dead.
  /// The long part of a destruction runs on a thread of the store's own. @returns whether there is
  /// more
  [[nodiscard]] virtual result<bool> tidy() = 0;

  // ---- [any] -----------------------------------------------------------------------------------
  /// Entries from the first one that exists at or after `from`, in index order, over dropped
  /// ranges, until `bytes_max` of bodies are exceeded (at least one entry, if there is one) or the
  /// log ends. Entries not yet synced are not seen. @errors `damaged`: a hole or a bad entry,
  /// named; `unknown_partition`, `storage_failed`
  [[nodiscard]] virtual result<std::vector<entry>> read(partition_id partition, log_index from,
                                                        std::size_t bytes_max) const = 0;
  /// The entry with this message; nothing when it was dropped or is not there yet.
  [[nodiscard]] virtual result<std::optional<entry>> entry_with(partition_id partition,
                                                                message_offset offset) const = 0;
  [[nodiscard]] virtual result<std::optional<entry>> entry_at(partition_id partition,
                                                              log_index index) const = 0;
  /// The first message at or after `offset` that is still there; nothing: none.
  [[nodiscard]] virtual result<std::optional<message_offset>>
  first_message(partition_id partition, message_offset offset) const = 0;
  /// The partition as recovery would find it now: its newest checkpoint, the log's synced end. For
  /// a leader that begins its epoch. @errors `unknown_partition`
  [[nodiscard]] virtual result<recovered_partition> current(partition_id partition) const = 0;
  [[nodiscard]] virtual result<dropped_books> dropped(partition_id partition) const = 0;
  /// A group's dead letters from offset `from` on, ascending, `most` and about `bytes_max` at most.
  [[nodiscard]] virtual result<std::vector<dead_letter>>
  dead_letters(partition_id partition, const std::string& group, message_offset from,
               std::size_t most, std::size_t bytes_max) const = 0;
  [[nodiscard]] virtual result<std::optional<std::string>> record(const std::string& key) const = 0;
  /// All records whose key begins with `prefix`, by key.
  [[nodiscard]] virtual result<std::vector<std::pair<std::string, std::string>>>
  records(const std::string& prefix) const = 0;
  /// While the answer lives, nothing is destroyed or emptied: what `read` and `dropped` tell
  /// agrees.
  [[nodiscard]] virtual std::unique_ptr<store_pin> pin() const = 0;
  [[nodiscard]] virtual store_statistics statistics() const = 0;
  /// Bytes free on the directory's file system.
  [[nodiscard]] virtual result<std::uint64_t> disk_free() const = 0;
};

} // namespace waybill
