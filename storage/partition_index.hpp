// What is in memory of one partition: where its entries lie, what was dropped, what its newest
// checkpoint says. Finding needs pages of sealed tables; where one is not in memory, an answer is
// worthless and `pages.misses()`. Source: docs/design.md, section 5 ("Index").
#pragma once

#include "storage/page_cache.hpp"
#include "storage/store.hpp"
#include "storage/table.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace waybill {

/// A partition's pages in one sealed generation, ascending.
struct sealed_part {
  generation_ptr where;
  std::vector<page_summary> pages;
};

/// An entry and the generation that holds it.
struct located {
  generation_ptr where;
  table_entry what;
};

struct partition_index {
  partition_id id;
  copy_id copy;
  std::uint64_t first_sequence = 0; ///< what lies before it belonged to an ended copy
  log_position last;                ///< the log's synced end
  message_offset next_offset;
  wall_time last_stamp{};
  std::optional<log_position> checkpointed;
  std::vector<offset_range> needed; ///< as the checkpoint says
  dropped_books dropped;
  std::map<std::uint64_t, sealed_part> sealed; ///< by generation
  active_table active;
  std::optional<failure> damage; ///< such a copy is neither written to nor tidied

  /// The first entry at or after `from`; of two equal copies the newer one.
  [[nodiscard]] std::optional<located> at_or_after(log_index from, const generation_ptr& active_one,
                                                   page_view& pages) const;
  [[nodiscard]] std::optional<located>
  with_offset(message_offset offset, const generation_ptr& active_one, page_view& pages) const;
  [[nodiscard]] std::optional<message_offset> first_message(message_offset offset,
                                                            page_view& pages) const;
  /// Whether a generation after this one holds a copy of the entry.
  [[nodiscard]] bool has_newer_copy(log_index index, std::uint64_t generation,
                                    page_view& pages) const;
  /// Whether the newest checkpoint covers the entry and no group needs its messages.
  [[nodiscard]] bool is_dead(const table_entry& e) const;
  [[nodiscard]] bool is_needed(const offset_range& offsets) const;
  [[nodiscard]] const dropped_range* dropped_at(log_index index) const;
};

/// Adds a range where it belongs and merges it with its neighbours.
/// @pre it overlaps no other
void add_dropped(dropped_books& books, const dropped_range& range, std::uint64_t messages);

} // namespace waybill
