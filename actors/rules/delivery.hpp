// Who gets which message, and when it is settled: the delivery rules of one partition, all its
// groups. Pure: no actor, no I/O, no clock, no randomness. Source: docs/design.md, section 6.
//
// Two halves. The replicated half (`apply…`, `snapshot`) changes by committed entries alone, in log
// order, and is the same on every replica. The leader's half (consumers, leases, credit, what is
// proposed and not committed) lives beside it and is gone with the leader.
//
// How the leader's shell drives it:
//   1. It feeds events: consumers come and go, settle, time passes, entries commit.
//   2. After each round of events it calls `propose`: what must become an entry of the log, as one
//      record. The shell fills in dead letters' messages, appends, and calls `apply` once
//      committed.
//   3. It calls `deliver`: what may be sent now, within credit, a lease each. When `next_tick` is
//      due, `tick` comes first, or a message may go out in the moment in which it expires.
// A message is in one place: unsettled and ready, leased, waiting for its time, in an uncommitted
// proposal, or settled.
#pragma once

#include "config/limits.hpp"
#include "storage/error.hpp"
#include "storage/records.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace waybill {

/// Now, on both clocks of a leader.
struct moment {
  milliseconds steady{}; ///< since an origin of this process; never falls. Leases run on it
  wall_time wall{};      ///< what is stamped into entries
};

/// Number of a proposal, counted from 1 by the leader; not replicated.
using proposal_number = tagged<struct proposal_tag>;

/// Answer to a settling call: what it could not do, and what to wait for before it is answered.
struct settling {
  std::vector<offset_range> lost; ///< not held by this consumer: nothing was done about them
  proposal_number answered_by;    ///< answer when this proposal is committed; 0: at once
};

/// What becomes of a message that failed while attempts are left.
enum class after_failure : std::uint8_t {
  again, ///< it waits, and is delivered again
  bury   ///< it is a dead letter at once
};

/// A message that a consumer holds.
struct held_message {
  std::string group;
  std::string consumer; ///< its name
  std::uint32_t attempt = 1;
  /// Which delivery of it: one is the same as long as its consumer holds the message, and no other
  /// is equal to it as long as this is kept.
  std::shared_ptr<const void> lease{};
};

/// Send this message to this consumer; its lease has begun.
struct delivery_order {
  consumer_id consumer;
  message_offset offset;
  std::uint32_t attempt = 1;
  friend bool operator==(const delivery_order&, const delivery_order&) = default;
};

struct proposal {
  proposal_number number;
  delivery_record record; ///< dead letters without `message` and without `published`
};

/// A proposal is closed beyond this size, the messages of its dead letters counted; a single change
/// that is larger comes alone.
inline constexpr std::uint64_t proposal_bytes_max = 1 << 20;

/// How a consumer ends.
enum class leaving : std::uint8_t {
  closed,  ///< gives back what it holds, uncounted
  vanished ///< every message it held counts a failed attempt
};

/// What a group looks like now, for people and for the books.
struct group_view {
  std::string group;
  group_policy policy;
  message_offset start, floor;
  std::uint64_t ready = 0, leased = 0, delayed = 0; ///< leased includes what is being settled
  group_counts counts;
  std::uint64_t dead_held = 0;
  std::uint32_t consumers = 0;
  std::uint64_t settled_ranges = 0;
  std::uint64_t behind = 0; ///< of `ready`: behind another of their key
  /// Too much is stuck (`delivery.settled-ranges-max`, `delivery.waiting-max` or
  /// `delivery.behind-max` is passed): only what is stuck goes out.
  bool held_back = false;
};

/// How full a group is, for alarms; cheap to ask for.
struct group_fill {
  std::uint64_t settled_ranges = 0;
  std::uint64_t waiting = 0; ///< messages that have failed before
  std::uint64_t behind = 0;  ///< messages behind another of their key
  std::uint64_t consumers = 0;
  bool held_back = false;      ///< as in `group_view`
  std::uint64_t settled = 0;   ///< by any way, ever; reopened ones count once more
  std::uint64_t unsettled = 0; ///< now
  std::uint64_t due = 0;       ///< of these: ready, or with a consumer
  std::uint64_t leased = 0;    ///< of these: with a consumer
  std::uint64_t dead_held = 0;
  std::uint64_t in_doubt = 0; ///< transfers
};

/// Which messages of a group are not simply ready or settled; for the audit.
struct out_view {
  std::string group;
  std::vector<offset_range> leased;  ///< out with a consumer, or in a proposal not yet committed
  std::vector<offset_range> delayed; ///< waiting for their time
};

class delivery {
public:
  /// From a checkpoint: nobody holds anything. A delivery that was recorded as begun and neither
  /// failed nor settled counts as failed (`leader_changed`) at the first `propose` of a leader.
  delivery(const delivery_limits& limits, const partition_snapshot& from);
  ~delivery();
  delivery(delivery&&) noexcept;
  delivery& operator=(delivery&&) noexcept;

  // ---- replicated: by committed entries, in log order ------------------------------------------
  /// Messages [first, end) are in the log; @pre `first` is the next offset. `only`: a redrive's,
  /// for that group alone; all other groups settle them on arrival (`for_others`).
  void apply_messages(offset_range messages, const std::optional<std::string>& only);
  /// Times that some of these messages came with; right after their `apply_messages`.
  void apply_times(const timed_messages& times, const moment& now);
  void apply(const group_record& r, const moment& now);
  /// `own`: the proposal that this record was, when this leader proposed it; 0 otherwise.
  /// @returns the dead letters that the groups hold from now on: not those whose message was
  /// settled already
  std::vector<std::pair<std::string, message_offset>> apply(const delivery_record& r,
                                                            proposal_number own, const moment& now);
  /// Dead letters leave; when it sends back, `apply_messages` for the new offsets follows.
  /// @returns those of `r.dead_letters` that were held (the others, and those that are on their way
  /// to another partition, are passed over)
  std::vector<message_offset> apply(const redrive_record& r);
  /// Its places only move on: one that lies before where they are changes nothing.
  void apply(const retention_record& r);
  /// `at`: the index of its entry. @returns the dead letters that leave
  std::vector<message_offset> apply(const transfer_record& r, log_index at);
  /// Fills groups, addressed, settled_by_all, timed and kept_from of a snapshot.
  void snapshot(partition_snapshot& into) const;
  /// Offsets below `next` that some group has not settled, with no group all but settled_by_all,
  /// and what is kept although it is settled.
  [[nodiscard]] std::vector<offset_range> needed() const;

  // ---- the leader ------------------------------------------------------------------------------
  [[nodiscard]] bool has_group(std::string_view group) const;
  /// Whether a group may be created, while so many others are being created; one that exists may,
  /// and stays as it is. @errors `limit_reached` `delivery.groups-max`
  [[nodiscard]] result<void> check_create(const group_record& r, std::size_t others = 0) const;
  /// A policy with every field inside its range. @errors `bad_argument`, naming the field
  [[nodiscard]] static result<void> check_policy(const group_policy& p,
                                                 const delivery_limits& limits);
  /// Joining the same group again sets name and credit.
  /// @errors `unknown_group`, `limit_reached` (consumers, credit), `bad_argument` (in another
  /// group)
  [[nodiscard]] result<void> join(const std::string& group, consumer_id who, std::string name,
                                  std::uint32_t credit_messages, std::uint64_t credit_bytes);
  /// Nothing when it is not there; cut to what a consumer may have at most.
  void set_credit(consumer_id who, std::uint32_t messages, std::uint64_t bytes);
  /// Delays of what it lost by vanishing are varied by the jitter. `random`: 0 .. 1, drawn by the
  /// caller; partitions that lose the same consumer draw different ones.
  void leave(consumer_id who, leaving how, const moment& now, double random = 0.5);
  [[nodiscard]] settling ack(consumer_id who, std::span<const offset_range> ranges);
  /// `delay`: none: by the group's policy. `reason` is cut to `reason_bytes_max`, marked by '…'.
  [[nodiscard]] settling nack(consumer_id who, message_offset offset,
                              std::optional<milliseconds> delay, std::string reason,
                              const moment& now, double random,
                              after_failure then = after_failure::again);
  /// None: this consumer does not hold it.
  [[nodiscard]] std::optional<held_message> held(consumer_id who, message_offset offset) const;
  /// Leases run for `lease` from now (0: the group's; at most `lease_max`).
  [[nodiscard]] settling extend(consumer_id who, std::span<const offset_range> ranges,
                                milliseconds lease, const moment& now);
  [[nodiscard]] settling give_back(consumer_id who, std::span<const offset_range> ranges);
  /// Time passed: leases that ran out fail, what waited becomes ready. `random`: 0 .. 1, for
  /// jitter, drawn by the caller.
  void tick(const moment& now, double random);
  /// When `tick` has something to do next; none: never.
  [[nodiscard]] std::optional<milliseconds> next_tick() const;

  /// This leader has appended such a record. A seek stands between what was proposed before it and
  /// what may be proposed after it is applied.
  void appended(const group_record& r);
  /// Not while a seek of this leader is appended and not applied: what is proposed then could reach
  /// a message that another seek opens again. A proposal that came out before waits as well.
  [[nodiscard]] bool may_propose() const;
  /// What was gathered and must be committed, the oldest first, in a record of bounded size: call
  /// again until none is left; none when it may not. The first call takes over from earlier
  /// leaders; before it nothing is delivered, and the entries of earlier epochs must have been
  /// applied.
  [[nodiscard]] std::optional<proposal> propose(const moment& now, double random);

  /// What must be known of a message before it goes out.
  struct message_facts {
    std::uint32_t bytes = 0; ///< as they count against credit
    std::uint64_t key = 0;   ///< a number for its key; 0: none, or the group is not ordered
  };
  enum class wants_key : std::uint8_t { no, yes };
  /// None: not known yet (it is being read), and the group goes no further now.
  using lookup = std::function<std::optional<message_facts>(message_offset, wants_key)>;
  /// What may go out now, grouped by group, in order of offset; at most `most` messages. A consumer
  /// holding nothing gets one message whatever its size. A second or later delivery comes out only
  /// after its `attempt_started` is committed.
  [[nodiscard]] std::vector<delivery_order> deliver(const moment& now, const lookup& look,
                                                    std::size_t most);
  /// Messages that `deliver` asked for and did not get, since the last call: read them.
  [[nodiscard]] std::vector<message_offset> wanted();

  /// Consumers whose group was removed, since the last call: they hold nothing any more.
  [[nodiscard]] std::vector<consumer_id> take_ended();

  [[nodiscard]] std::vector<group_view> views() const;
  [[nodiscard]] std::vector<out_view> out() const;
  [[nodiscard]] std::size_t group_count() const;
  /// Messages that came with a time, and that some group may still get.
  [[nodiscard]] std::size_t timed_count() const;
  [[nodiscard]] std::vector<std::string> group_names() const;
  /// None: no such group.
  [[nodiscard]] std::optional<group_counts> counts_of(std::string_view group) const;
  [[nodiscard]] std::optional<group_fill> fill_of(std::string_view group) const;
  /// Messages before `end` that the group has not settled; 0 as well: no such group.
  [[nodiscard]] std::uint64_t unread_below(std::string_view group, message_offset end) const;
  /// What lies before was dropped or may go; none: messages stay until every group has settled
  /// them, and no longer.
  [[nodiscard]] std::optional<message_offset> kept_from() const;
  /// A group's, by the index of the entry that began them; none: no such group.
  [[nodiscard]] const std::map<log_index, transfer_state>*
  transfers_of(std::string_view group) const;
  /// A policy as the group has it; none: no such group.
  [[nodiscard]] std::optional<group_policy> policy_of(std::string_view group) const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace waybill
