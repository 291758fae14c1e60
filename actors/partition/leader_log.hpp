// The end of a leader's log: builds entries, chains them, and keeps those that are not committed
// yet. Pure. Source: docs/design.md, section 4.
#pragma once

#include "actors/rules/delivery.hpp"
#include "storage/entry.hpp"
#include "storage/store.hpp"

#include <deque>

namespace waybill {

class leader_log {
public:
  /// Where the log on disk ends when the epoch begins.
  leader_log(partition_id partition, epoch leading, const recovered_partition& found);

  /// Builds the next entry and keeps it until `take` hands it out. Stamps never fall.
  /// `messages`: how many the body carries; they get the next offsets.
  const entry& append(entry_kind kind, std::uint32_t messages, shared_bytes body, wall_time now);
  /// The oldest entry kept, if it lies at or below `committed`; it is kept no longer.
  [[nodiscard]] std::optional<entry> take(log_index committed);

  [[nodiscard]] std::size_t uncommitted() const noexcept { return uncommitted_.size(); }
  [[nodiscard]] const log_position& last() const noexcept { return last_; }
  [[nodiscard]] message_offset next_offset() const noexcept { return next_offset_; }

private:
  partition_id partition_;
  epoch leading_;
  log_position last_;
  message_offset next_offset_;
  wall_time last_stamp_;
  std::deque<entry> uncommitted_;
};

} // namespace waybill
