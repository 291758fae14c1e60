// Opening a store: what the small store says, what lies in the journal, and whether the two agree.
// Trusts nothing: every table and page is checked, the active generation is scanned, every
// partition's chain is followed from its first entry to its last. Source: docs/design.md,
// section 5.
#pragma once

#include "storage/store_impl.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace waybill {

class recovery {
public:
  explicit recovery(store_impl& store) : store_{store} {}
  /// Fills the store. @errors as `store::open`
  [[nodiscard]] result<void> run();

private:
  /// Consecutive entries whose hashes are linked.
  struct chain_run {
    index_range entries;
    hash128 before;
    hash128 after;
  };
  struct active_scan;

  [[nodiscard]] result<void> open_state();
  [[nodiscard]] result<void> finish_destructions();
  [[nodiscard]] result<void> remove_unrecorded();
  [[nodiscard]] result<void> remove_prepared(const std::string& path, std::uint64_t number);
  void begin_partitions();
  [[nodiscard]] result<void> load_generations();
  [[nodiscard]] result<void> load_generation(std::uint64_t number, const generation_record& record,
                                             bool newest);
  [[nodiscard]] result<void> lose_generation(std::uint64_t number, const generation_record& record,
                                             const failure& why);
  [[nodiscard]] result<void> load_sealed(const generation_ptr& where,
                                         const generation_record& record, table_of_contents table);
  [[nodiscard]] result<void> load_active(const generation_ptr& where,
                                         const generation_record& record);
  [[nodiscard]] result<void> visit_active(active_scan& scan, std::uint64_t sequence,
                                          std::string_view bytes);
  [[nodiscard]] result<void> begin_active();
  [[nodiscard]] result<void> check_end() const;
  [[nodiscard]] result<void> finish_partitions();
  [[nodiscard]] result<void> finish_partition(partition_index& index);

  // recovery_chain.cpp
  void add_runs(partition_id partition, std::span<const table_entry> entries);
  /// @returns the last index up to which nothing is missing; notes damage
  log_index follow_chain(partition_index& index);
  [[nodiscard]] result<void> find_end(partition_index& index, log_index last);
  [[nodiscard]] result<std::optional<located>> locate(const partition_index& index,
                                                      log_index at) const;

  [[nodiscard]] partition_index& partition_of(partition_id id);
  /// Entries of the partition before this number belong to copies that have ended.
  [[nodiscard]] std::uint64_t first_sequence_of(partition_id id) const;
  void damage(partition_index& index, failure why);
  void saw(std::uint64_t sequence) { last_sequence_ = std::max(last_sequence_, sequence); }

  store_impl& store_;
  stored_state state_;
  std::map<partition_id, std::vector<chain_run>> runs_;
  std::map<partition_id, wall_time> stamps_; ///< of the last entries in the active generation
  std::uint64_t last_sequence_ = 0;          ///< the highest that was ever seen to exist
  std::uint64_t newest_ = 0;                 ///< the generation with the highest number
  std::optional<std::pair<std::uint64_t, generation_record>> half_sealed_;
};

/// Whether bytes that are no whole entry still name this partition, and `last` as what they
/// continue.
[[nodiscard]] bool entry_continues(std::string_view bytes, partition_id partition,
                                   const log_position& last);

} // namespace waybill
