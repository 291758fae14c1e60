// The small store of a data directory: copies, promised epochs, checkpoints, dropped ranges, dead
// letters, the list of generations, and the records of others. Every value is framed with a version
// and a checksum. Source: docs/design.md, section 5 ("State").
#pragma once

#include "storage/level.hpp"
#include "storage/store.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace waybill {

/// A copy that lives here.
struct copy_record {
  copy_id copy;
  std::uint64_t first_sequence = 0; ///< entries of the partition before it belong to ended copies
  wall_time began{};
};

/// Which partitions had entries in a generation when it was sealed: whom its loss would concern.
struct generation_part {
  partition_id partition;
  index_range entries;
};
enum class generation_state : std::uint8_t { begun = 1, sealed = 2, gone = 3 };
struct generation_record {
  generation_state state = generation_state::begun;
  std::uint64_t first_sequence = 0; ///< all its entries are at or after it
  std::uint64_t end_sequence = 0;   ///< when sealed: all its entries are before it
  std::vector<generation_part> parts;
};

/// Changes to the small store that become durable together.
class state_batch {
public:
  void put_copy(partition_id partition, const copy_record& record);
  /// Ends a copy: what is known of it goes, a dated record stays.
  void end_copy(partition_id partition, copy_id copy, std::uint64_t next_sequence, wall_time when);
  void put_promise(partition_id partition, epoch promised);
  void put_checkpoint(partition_id partition, const checkpoint& value);
  void put_dropped(partition_id partition, const dropped_books& value);
  void put_generation(std::uint64_t number, const generation_record& record);
  void remove_generation(std::uint64_t number);
  /// The highest sequence number that is synced by now.
  void put_sequence(std::uint64_t sequence);
  void put_record(const std::string& key, const std::string& value);
  void put_dead_letter(copy_id copy, const dead_letter_put& change);
  void remove_dead_letter(copy_id copy, const dead_letter_removed& change);
  [[nodiscard]] bool empty() const { return changes_.empty(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
  friend class state_db;
  void put(std::string key, std::string_view content);
  void remove(std::string key);
  std::vector<std::pair<std::string, std::optional<std::string>>> changes_; ///< key, framed value
  std::uint64_t bytes_ = 0;
};

/// All that is read at start. What concerns one partition alone fails for that partition alone.
struct stored_state {
  std::map<partition_id, result<copy_record>> copies;
  std::map<partition_id, result<epoch>> promised;
  std::map<partition_id, result<checkpoint>> checkpoints;
  std::map<partition_id, result<dropped_books>> dropped;
  std::map<partition_id, std::uint64_t> ended; ///< entries before it belong to ended copies
  std::map<std::uint64_t, generation_record> generations;
  std::uint64_t last_sequence = 0;
};

enum class state_presence : std::uint8_t { required, created_if_missing };

/// Any thread.
class state_db {
public:
  /// @errors `damaged`: missing though it is required, or not to be trusted; `storage_failed`
  [[nodiscard]] static result<std::unique_ptr<state_db>>
  open(const level_context& levels, const std::string& path, state_presence presence);
  ~state_db();

  /// @errors `damaged`, `storage_failed`
  [[nodiscard]] result<stored_state> load() const;
  /// Writes and syncs. @errors `storage_failed`
  [[nodiscard]] result<void> commit(const state_batch& batch);
  /// Keeps changes of dead letters in memory, where readers see them, until the next
  /// `commit_with_pending`; commits them by itself when they are many. LevelDB syncs only the
  /// newest of its logs, so an unsynced write before a synced one could still be lost; in memory it
  /// cannot be half there.
  [[nodiscard]] result<void> add_pending(state_batch batch);
  /// The pending changes and then the batch, in one synced write.
  [[nodiscard]] result<void> commit_with_pending(const state_batch& batch);

  [[nodiscard]] result<std::optional<checkpoint>> read_checkpoint(partition_id partition) const;
  [[nodiscard]] result<std::optional<std::string>> record(const std::string& key) const;
  [[nodiscard]] result<std::vector<std::pair<std::string, std::string>>>
  records(const std::string& prefix) const;
  [[nodiscard]] result<std::vector<dead_letter>> dead_letters(partition_id partition, copy_id copy,
                                                              const std::string& group,
                                                              message_offset from, std::size_t most,
                                                              std::size_t bytes_max) const;

private:
  explicit state_db(std::string path);
  [[nodiscard]] result<void> write(const std::vector<const state_batch*>& batches);
  [[nodiscard]] result<std::optional<std::string>> content(const std::string& key) const;
  [[nodiscard]] failure damage_at(const std::string& key) const;

  std::string path_;
  std::unique_ptr<leveldb::DB> database_;
  mutable std::mutex pending_mutex_;
  std::map<std::string, std::optional<std::string>> pending_; ///< dead letters, framed
  std::uint64_t pending_bytes_ = 0;
};

} // namespace waybill
