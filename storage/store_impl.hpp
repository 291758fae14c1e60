// The store behind `storage/store.hpp`: generations, the index over them, the small store, and the
// one writer that changes them. Cut by what is done: store.cpp writes, store_read.cpp reads,
// seal.cpp seals, truncate.cpp truncates, tidy.cpp drops, recovery.cpp opens. Source:
// docs/design.md, section 5.
#pragma once

#include "storage/data_directory.hpp"
#include "storage/generation.hpp"
#include "storage/page_cache.hpp"
#include "storage/partition_index.hpp"
#include "storage/state_db.hpp"
#include "storage/store.hpp"
#include "storage/worker.hpp"

#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace waybill {

/// A generation that takes no more entries.
struct sealed_generation {
  generation_ptr where;
  std::uint64_t first_sequence = 0;
  std::uint64_t end_sequence = 0;
  std::uint64_t bytes = 0;            ///< of its entries, dead ones included
  std::set<partition_id> partitions;  ///< those whose living copies have entries in it
  bool check = true;                  ///< something has changed since it was last found to be alive
  std::uint64_t needed_when_kept = 0; ///< messages that groups needed when it was: unless there are
                                      ///< fewer now, it is still alive
};

/// Where a log ends: its last entry, and the offset after its last message.
struct log_end {
  log_position last;
  message_offset next_offset;
};

class store_impl final : public store {
public:
  explicit store_impl(store_options options);
  ~store_impl() override;

  const std::map<partition_id, recovered_partition>& recovered() const override {
    return recovered_;
  }
  result<void> begin_copy(partition_id partition, copy_id copy) override;
  result<void> end_copy(partition_id partition) override;
  result<void> write(const write_set& what) override;
  result<void> truncate(partition_id partition, log_index keep,
                        std::span<const entry> replacement) override;
  result<void> write_dead_letters(
      std::span<const std::variant<dead_letter_put, dead_letter_removed>> changes) override;
  result<void>
  write_checkpoints(std::span<const std::pair<partition_id, checkpoint>> checkpoints) override;
  result<bool> tidy() override;

  result<std::vector<entry>> read(partition_id partition, log_index from,
                                  std::size_t bytes_max) const override;
  result<std::optional<entry>> entry_with(partition_id partition,
                                          message_offset offset) const override;
  result<std::optional<entry>> entry_at(partition_id partition, log_index index) const override;
  result<std::optional<message_offset>> first_message(partition_id partition,
                                                      message_offset offset) const override;
  result<recovered_partition> current(partition_id partition) const override;
  result<dropped_books> dropped(partition_id partition) const override;
  result<std::vector<dead_letter>> dead_letters(partition_id partition, const std::string& group,
                                                message_offset from, std::size_t most,
                                                std::size_t bytes_max) const override;
  result<std::optional<std::string>> record(const std::string& key) const override;
  result<std::vector<std::pair<std::string, std::string>>>
  records(const std::string& prefix) const override;
  std::unique_ptr<store_pin> pin() const override;
  store_statistics statistics() const override;
  result<std::uint64_t> disk_free() const override;

private:
  friend class recovery;

  /// Pins outlive the store if they must, so what they count in is shared.
  struct pins {
    std::mutex mutex; ///< held during a step of tidying
    std::size_t count = 0;
  };
  class pin_holder;
  /// One piece of a partition's log, found under the lock and then read without it.
  struct stretch {
    std::vector<located> entries;
    std::optional<failure> bad; ///< what comes next cannot be read
  };
  /// Where a log shall end.
  struct cut_place {
    log_end end;
    wall_time last_stamp{};
  };
  /// What a sealed generation still holds.
  struct verdict {
    bool keep = false;        ///< neither dead nor nearly: leave it
    bool read_pages = false;  ///< finding out took reading
    std::uint64_t needed = 0; ///< messages that groups need
    std::uint64_t live_bytes = 0;
    std::vector<std::pair<partition_id, table_entry>> live; ///< up to one step's worth of it
  };

  // ---- store.cpp: the writer's common parts
  [[nodiscard]] result<void> usable() const;
  /// From here on nothing is written any more. @returns `why`
  failure poison(failure why);
  [[nodiscard]] result<void> poisoned_by(result<void> outcome);
  [[nodiscard]] result<void> check_room(std::uint64_t bytes) const;
  [[nodiscard]] result<void> check_writable(std::span<const entry> entries) const;
  /// Asserts that the entries go on where the logs end. @pre `ends` has all their partitions
  static void check_chain(std::span<const entry> entries, std::map<partition_id, log_end> ends);
  [[nodiscard]] result<void> write_small(const write_set& what);
  /// Puts entries into a batch under the next sequence numbers. @returns the first of these
  std::uint64_t put_entries(generation_batch& batch, std::span<const entry> entries);
  /// After the sync: readers may see them.
  void index_entries(std::span<const entry> entries, std::uint64_t first_sequence);
  void log(const std::string& line) const;

  // ---- seal.cpp
  [[nodiscard]] result<void> seal_if_full();
  [[nodiscard]] result<void> seal();
  table_of_contents build_table(generation_batch& batch) const;
  void prepare_next();
  [[nodiscard]] result<generation_ptr> take_next();
  void retire_active(table_of_contents table, generation_ptr next);

  // ---- truncate.cpp
  [[nodiscard]] result<void> cut_sealed(partition_index& index, std::uint64_t number,
                                        log_index keep);
  [[nodiscard]] result<void> cut_active(partition_index& index, const cut_place& place,
                                        std::span<const entry> replacement);
  [[nodiscard]] result<cut_place> place_of_cut(const partition_index& index, log_index keep) const;
  void end_log_at(partition_index& index, const cut_place& place);

  // ---- tidy.cpp
  [[nodiscard]] result<verdict> judge(const sealed_generation& generation) const;
  [[nodiscard]] result<void> judge_page(const partition_index& index, const sealed_part& part,
                                        const page_summary& summary, verdict& so_far) const;
  [[nodiscard]] result<bool> tidy_one(sealed_generation& generation);
  [[nodiscard]] result<void> move_live(const sealed_generation& from,
                                       std::span<const std::pair<partition_id, table_entry>> live);
  [[nodiscard]] result<void> destroy(sealed_generation& generation);
  void forget(std::uint64_t number, std::map<partition_id, dropped_books> books);
  [[nodiscard]] result<dropped_books> books_without(const partition_index& index,
                                                    const sealed_part& part) const;

  // ---- store_read.cpp
  template <class F>
  auto look(partition_id partition, F find) const
      -> result<decltype(find(std::declval<const partition_index&>(), std::declval<page_view&>()))>;
  [[nodiscard]] stretch find_stretch(const partition_index& index, log_index from,
                                     std::size_t bytes_max, page_view& pages) const;
  [[nodiscard]] result<entry> fetch(partition_id partition, const located& where) const;
  /// For the writer alone. @errors `damaged`, `storage_failed`
  [[nodiscard]] result<page> read_whole_page(const sealed_part& part,
                                             const page_summary& summary) const;

  store_options options_;
  level_context levels_;
  mutable open_generations open_;
  std::unique_ptr<data_directory> directory_;
  std::unique_ptr<state_db> state_;
  mutable page_cache pages_;
  std::map<partition_id, recovered_partition> recovered_;
  std::shared_ptr<pins> pins_ = std::make_shared<pins>();

  /// Guards what follows. Only the writer changes it, so the writer alone may read without it.
  mutable std::mutex mutex_;
  std::map<partition_id, partition_index> partitions_;
  std::map<partition_id, epoch> promised_;
  std::map<std::uint64_t, sealed_generation> sealed_;
  generation_ptr active_;
  store_statistics counters_;
  std::vector<std::string> worker_said_; ///< for the log, which only the writer calls

  // The writer's alone.
  generation_batch batch_; ///< of `write`: growing a new one each time costs a copy of all it gets
  std::uint64_t next_sequence_ = 1;
  std::uint64_t active_first_sequence_ = 1;
  std::uint64_t active_bytes_ = 0;
  std::uint64_t active_entries_ = 0;
  std::future<result<generation_ptr>> next_;
  std::optional<failure> poisoned_;

  worker worker_; ///< last, so that its thread ends before what it uses
};

/// Where a chain breaks off, as people are told.
[[nodiscard]] failure hole_at(partition_id partition, log_index index);
/// The first index of [from, to] that was not dropped; nothing: all were.
[[nodiscard]] std::optional<log_index> first_not_dropped(const partition_index& index,
                                                         log_index from, log_index to);

} // namespace waybill
