// De-duplication: which batch is new, which is a repeat, which producer is fenced; per partition.
// Pure. The replicated half changes by committed entries alone; the leader adds what is in its log
// and not yet committed. Source: docs/design.md, section 7.
#pragma once

#include "config/limits.hpp"
#include "storage/error.hpp"
#include "storage/records.hpp"
#include "storage/types.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace waybill {

/// One batch as it arrives: who sent it and under which number.
struct batch_claim {
  std::string_view producer;
  producer_epoch opened;
  batch_number number;
  batch_number previous;
  hash128 hash; ///< of the batch's bytes
};

struct take_it {}; ///< new: append it, then call `appended`
struct already_committed {
  remembered_batch as;
};
struct already_appended {
  log_index entry;
}; ///< answer when that entry commits
using batch_verdict = std::variant<take_it, already_committed, already_appended, failure>;

/// What opening a producer needs.
struct append_opening {
  producer_record record;
}; ///< append it, call `appended`, and tell its number only when it is committed
struct still_holder {
  producer_epoch opened;
}; ///< nothing to append
using opening_verdict = std::variant<append_opening, still_holder, failure>;

/// What a producer's name has sent to one partition, across all its openings: whoever opens the
/// name after a crash and sends again what it does not know about gets the first one's receipt.
///
/// Bounds: `remembered_batches` of each producer, the newest; `producers_max`; `age_max`, by the
/// entries' stamps alone. All replicas of a partition run with the same limits, or they differ.
///
/// A producer that was forgotten is `unknown_producer` until it is opened again, and its series
/// then begins anew, with last number 0. A client in the middle of its old series is stopped by
/// `previous`
/// (`out_of_order`). A client that opens it, is told 0, and sends batch 1 after 0 again is taken as
/// new, by design: nothing is left to compare it with. `age_max` is how long a client may wait.
///
/// The number of an opening (`opened`) never comes a second time in a partition, not even after its
/// producer was forgotten: it is above every opening's number that this leader has seen and above
/// the checkpoint's index, and so above all there were, and never above its own entry's index.
class producers {
public:
  /// @pre `remembered_batches` and `producers_max` are 1 or more
  producers(const producer_limits& limits, const partition_snapshot& from);
  ~producers();
  producers(producers&&) noexcept;
  producers& operator=(producers&&) noexcept;

  // ---- replicated ------------------------------------------------------------------------------
  // Entries in log order, each once.
  /// A committed batch. One that an older opening sent, was overtaken or fenced in between, is in
  /// the log all the same: it was appended before the opening that fenced it. One of a producer
  /// that was forgotten in between begins it anew, without a holder that could reconnect.
  void apply(const batch_claim& claim, const log_position& entry, message_offset first,
             std::uint32_t messages, wall_time stamped);
  /// A committed opening. Beyond `producers_max` the one unused for longest goes; then those older
  /// than `age_max` by the entries' stamps.
  void apply(const producer_record& r, wall_time stamped);
  void snapshot(partition_snapshot& into) const;

  // ---- the leader ------------------------------------------------------------------------------
  // A new leader judges nothing before all that its log held when it began is committed and applied
  // (its epoch's start is); it lets its clients wait, whose answers could not come earlier anyway.
  /// Looks at committed and appended alike. @errors in the verdict: `unknown_producer` (not open
  /// here: open it again), `fenced`, `number_reused`, `out_of_order`, `too_old_to_know`,
  /// `bad_argument` (number 0, or previous >= number); judged in the order `bad_argument`,
  /// `unknown_producer`, `fenced`, then the number
  [[nodiscard]] batch_verdict judge(const batch_claim& claim) const;
  /// The batch was put into the leader's log at `entry`, not yet committed.
  void appended(const batch_claim& claim, log_index entry);
  /// `take_over`: become the holder, a new opening; otherwise only if `instance` holds it.
  /// An opening in the log and not yet committed counts; the one who holds it gets a further one,
  /// for its number must not be told before it is committed. @errors in the verdict: `fenced`,
  /// `unknown_producer` (not `take_over`, and nobody holds it: open it anew), `bad_argument`
  /// (instance 0)
  [[nodiscard]] opening_verdict judge_opening(const std::string& producer, std::uint64_t instance,
                                              bool take_over) const;
  /// The opening was put into the leader's log.
  void appended(const producer_record& r);
  /// The highest number taken, committed or appended; 0: none.
  [[nodiscard]] batch_number last_number(std::string_view producer) const;
  /// That batch, once it is committed; until then nobody knows how many messages it has.
  [[nodiscard]] last_batch last(std::string_view producer) const;
  /// How many are remembered.
  [[nodiscard]] std::size_t count() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace waybill
