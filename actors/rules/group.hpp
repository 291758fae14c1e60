// The replicated half of one group in one partition: what is settled, what has failed before, what
// is dead, and the counts. It changes by committed entries alone and is the same on every replica.
// Pure. Source: docs/design.md, sections 6 and 7.
#pragma once

#include "actors/rules/offset_set.hpp"
#include "storage/records.hpp"
#include "storage/types.hpp"

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace waybill {

/// Whom messages are for, as one group sees them.
enum class meant_for : std::uint8_t { this_group, others };

/// Whether a change took effect. One that came too late (its message is settled, or it tells of an
/// attempt that is recorded already) changes nothing, on every replica alike.
enum class effect : std::uint8_t { none, changed };

/// Invariants: `settled` holds every offset below the start; `attempts` names unsettled messages
/// only; arrived + reopened = acked + for_others + dead + skipped + dropped_unread + unsettled,
/// where what was redriven or purged is part of `dead`; what is locked by a transfer is held, and
/// by one alone.
class group {
public:
  /// A new group: `settled_by_all` may be dropped, and `addressed` to others is not its own.
  /// @param next the partition's next offset; everything below it is in the log
  group(const group_record& created, const offset_set& settled_by_all,
        std::span<const addressed_range> addressed, message_offset next);
  explicit group(const group_snapshot& from);
  [[nodiscard]] group_snapshot snapshot() const;

  void set_policy(const group_policy& policy) { policy_ = policy; }
  void arrive(offset_range messages, meant_for whom);
  /// @returns how many were not settled before
  std::uint64_t ack(offset_range range);
  effect start(const attempt_started& what);
  effect fail(const attempt_failed& what);
  effect bury(const dead_letter& what);
  /// From `target` on it reads (again): what lies before is skipped, and what it had settled behind
  /// is open again. But for what may be gone, what was for others, and dead letters that are held.
  /// @returns what is open again, ascending
  std::vector<offset_range> seek(message_offset target, const offset_set& may_be_gone,
                                 std::span<const addressed_range> addressed, message_offset next);
  /// Retention takes what lies before `end`, which is not beyond the log.
  void drop(message_offset end);
  enum class fate : std::uint8_t { redriven, purged };
  /// @returns those that were held, and are on their way nowhere
  std::vector<message_offset> release(std::span<const message_offset> dead_letters, fate what);
  /// A transfer that begins locks its dead letters; all of them or, where one is not held or is
  /// locked, none, and there is no such transfer. One that goes on or ends must be there.
  /// @param at the index of the record's entry @returns the dead letters that leave
  std::vector<message_offset> apply(const transfer_record& r, log_index at);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const group_policy& policy() const noexcept { return policy_; }
  [[nodiscard]] message_offset start_offset() const noexcept { return start_; }
  [[nodiscard]] message_offset floor() const { return settled_.floor(); }
  [[nodiscard]] const offset_set& settled() const noexcept { return settled_; }
  /// Ranges of settled messages above the floor.
  [[nodiscard]] std::uint64_t settled_ranges() const;
  [[nodiscard]] const std::map<message_offset, attempts_state>& attempts() const noexcept {
    return attempts_;
  }
  [[nodiscard]] const group_counts& counts() const noexcept { return counts_; }
  [[nodiscard]] std::uint64_t dead_held() const noexcept { return dead_letters_.size(); }
  /// By the index of the entry that began them.
  [[nodiscard]] const std::map<log_index, transfer_state>& transfers() const noexcept {
    return transfers_;
  }
  /// Of them: those of which nobody knows whether they arrived.
  [[nodiscard]] std::uint64_t in_doubt() const;
  /// Messages below `next` that are not settled.
  [[nodiscard]] std::uint64_t unsettled(message_offset next) const;

private:
  void begin(const transfer_state& what, log_index at);
  std::string name_;
  group_policy policy_;
  message_offset start_;
  offset_set settled_;
  std::map<message_offset, attempts_state> attempts_;
  std::map<message_offset, wall_time> dead_letters_;
  std::map<log_index, transfer_state> transfers_;
  std::set<message_offset> locked_; ///< the dead letters of all transfers
  group_counts counts_;
};

/// How long a message waits after its failed delivery number `attempt`: the policy's delay, grown,
/// bounded, and then varied both ways by the jitter. `random`: 0 .. 1; 0.5 leaves it as it is.
[[nodiscard]] milliseconds delay_after(const group_policy& policy, std::uint32_t attempt,
                                       double random);

/// `text`, cut to `bytes_max` bytes between two characters; what was cut ends in '…'.
[[nodiscard]] std::string cut_reason(std::string text, std::size_t bytes_max);

} // namespace waybill
