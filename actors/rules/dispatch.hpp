// The leader's half of one group in one partition: who consumes, who holds what until when, what is
// ready again, what waits, and what is being settled. Gone with the leader. Pure.
// Source: docs/design.md, section 6.
#pragma once

#include "actors/rules/delivery.hpp"
#include "actors/rules/gathering.hpp"
#include "actors/rules/group.hpp"
#include "actors/rules/key_order.hpp"
#include "actors/rules/offset_set.hpp"
#include "actors/rules/schedule.hpp"
#include "config/limits.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace waybill {

/// Spreads one random number over many messages: the first gets the number itself.
class spread {
public:
  explicit spread(double random) : next_{random} {}
  double next();

private:
  double next_;
};

/// An unsettled message below the cursor, or one that has failed before, or that came with a time,
/// is in exactly one of: a lease, `returned_`, `come_`, `to_start_`, `suspects_`, `delayed_`,
/// `starting_`, `reserved_`, `expired_`, `settling_`. All others lie at or above the cursor, have
/// never failed, and are ready for their first delivery. In an ordered group what lies below the
/// cursor may also be behind another of its key (`keys_`), `promoted_` or `kept_`, and what has
/// failed is found by the cursor too, since an earlier message of its key comes first. Every call
/// takes the replicated half it belongs to (`g`), and what it wants committed goes into a
/// gathering. Nothing happens before `begin`, which comes once all earlier epochs' entries are
/// applied.
class dispatch {
public:
  /// `timed`: the partition's messages that came with times; they outlive this.
  dispatch(const delivery_limits& limits, const timed_messages& timed)
      : limits_{limits}, timed_{&timed}, keys_{limits.keys_max} {}

  /// Takes over from `g`: what an earlier leader had out counts as failed.
  void begin(const group& g, gathering& out, const moment& now, spread random);
  [[nodiscard]] bool begun() const noexcept { return begun_; }

  // ---- consumers
  [[nodiscard]] result<void> join(const group& g, consumer_id who, std::string name,
                                  std::uint32_t messages, std::uint64_t bytes);
  void set_credit(consumer_id who, std::uint32_t messages, std::uint64_t bytes);
  void leave(const group& g, gathering& out, consumer_id who, leaving how, const moment& now,
             spread random);
  [[nodiscard]] std::vector<consumer_id> consumers() const;

  // ---- settling
  [[nodiscard]] settling ack(const group& g, gathering& out, consumer_id who,
                             std::span<const offset_range> ranges);
  [[nodiscard]] settling nack(const group& g, gathering& out, consumer_id who,
                              message_offset offset, std::optional<milliseconds> delay,
                              std::string reason, const moment& now, double random,
                              after_failure then);
  /// None: this consumer does not hold it. The group's name is not in it.
  [[nodiscard]] std::optional<held_message> held(consumer_id who, message_offset offset) const;
  [[nodiscard]] settling extend(const group& g, consumer_id who,
                                std::span<const offset_range> ranges, milliseconds lease,
                                const moment& now);
  [[nodiscard]] settling give_back(const group& g, consumer_id who,
                                   std::span<const offset_range> ranges);

  // ---- time
  void tick(const group& g, gathering& out, const moment& now, spread random);
  [[nodiscard]] std::optional<milliseconds> next_tick() const;

  /// Expired messages that one `prepare` buries.
  static constexpr std::size_t bury_most = 16;

  // ---- what was committed; `g` has it already
  /// A message that came with times.
  void arrived(const group& g, message_offset offset, const moment& now);
  /// What comes from `next` on is the group's, though its start may have lain behind it.
  void begins_by(message_offset next) noexcept { cursor_ = std::min(cursor_, next); }
  /// These are no longer settled.
  void reopened(const group& g, offset_range range, const moment& now);
  enum class origin : std::uint8_t { own_proposal, elsewhere };
  void settled(offset_range range);
  void started(const group& g, message_offset offset, const moment& now);
  void failed(const group& g, message_offset offset, origin from, const moment& now);
  void policy_changed() noexcept { recheck_ = true; }

  // ---- what goes out
  /// Begins the next attempt of what is due, as far as consumers have room; and gives up on what
  /// has expired, or has failed more often than a changed policy allows.
  void prepare(const group& g, gathering& out, const moment& now);
  /// Appends at most `most` orders, ascending. Messages that were not found go to `wanted`.
  void deliver(const group& g, message_offset next, const moment& now, const delivery::lookup& look,
               std::size_t most, std::vector<delivery_order>& orders,
               std::set<message_offset>& wanted);

  // ---- for people and for the books
  /// Out, on its way out, or in a proposal that is not committed.
  [[nodiscard]] std::uint64_t out_count() const;
  [[nodiscard]] std::uint64_t delayed_count() const noexcept { return delayed_.size(); }
  [[nodiscard]] std::vector<offset_range> out_ranges() const;
  [[nodiscard]] std::vector<offset_range> delayed_ranges() const;
  [[nodiscard]] std::uint32_t consumer_count() const noexcept {
    return static_cast<std::uint32_t>(consumers_.size());
  }
  [[nodiscard]] bool held_back(const group& g) const;
  /// Behind another of their key.
  [[nodiscard]] std::uint64_t behind_count() const noexcept { return keys_.behind_count(); }

private:
  /// Neighbours that went out together: [first, its key in `consumer::leases`).
  struct lease {
    message_offset first;
    std::uint32_t attempt = 1;
    milliseconds until{}; ///< on the steady clock
    wall_time delivered{};
    /// Bytes of [base, base + i), shared by all that is left of what went out together.
    std::shared_ptr<const std::vector<std::uint64_t>> sums;
    message_offset base;
    [[nodiscard]] std::uint64_t bytes(offset_range of) const {
      return (*sums)[of.end.value - base.value] - (*sums)[of.first.value - base.value];
    }
  };
  struct consumer {
    std::string name;
    std::uint64_t credit_messages = 0;
    std::uint64_t credit_bytes = 0;
    std::uint64_t held = 0;                 ///< messages out
    std::uint64_t bytes = 0;                ///< of those
    std::uint64_t reserved = 0;             ///< attempts begun for it that are not out yet
    std::map<message_offset, lease> leases; ///< by end
  };
  struct failing {
    failed_because why = failed_because::nack;
    std::string reason;
    std::string consumer;
    std::optional<milliseconds> delay = std::nullopt; ///< none: by policy
    after_failure then = after_failure::again;
  };
  struct run; // what is being put together for one consumer

  template <class Act>
  void take(consumer_id who, consumer& from, offset_range range, Act act);
  template <class Act>
  settling take_all(consumer_id who, std::span<const offset_range> ranges, Act act);
  void put(consumer_id who, consumer& into, message_offset end, lease what);
  proposal_number fail(const group& g, gathering& out, offset_range piece, const lease& of,
                       const failing& how, const moment& now, spread& random);
  void fail_recorded(const group& g, gathering& out, message_offset offset,
                     const attempts_state& state, const moment& now, spread& random);
  void give_up(const group& g, gathering& out, message_offset offset, const attempts_state& state,
               const moment& now);
  void make_ready(const group& g, offset_range range);
  void ready_to_start(const group& g, message_offset offset);
  void ready_at_first(message_offset offset);
  void begin_attempt(const group& g, gathering& out, message_offset offset, consumer_id who);
  void begin_suspects(const group& g, gathering& out);
  [[nodiscard]] bool has(consumer_id who, message_offset offset) const;
  void place(const group& g, message_offset offset, const moment& now);
  bool forget_waiting(message_offset offset);
  void end_leases(const group& g, gathering& out, const moment& now, spread& random);
  void watch_expiry(message_offset offset, const message_times& times, const moment& now);
  void expire(const group& g, message_offset offset);
  void bury_expired(const group& g, gathering& out, const moment& now);
  void unreserve(consumer_id who);
  [[nodiscard]] bool is_out(message_offset offset) const;
  /// Keeps `open_` true for this consumer: call after every change of what it holds or may hold.
  void refresh(consumer_id who, const consumer& c);
  [[nodiscard]] static bool fits(const consumer& c, std::uint64_t size);
  [[nodiscard]] consumer_id next_open() const;
  [[nodiscard]] std::optional<consumer_id> next_taker(std::uint64_t size) const;
  /// What waits for a time of its own keeps a gap open that nobody can close; `delivery.timed-max`
  /// bounds it.
  [[nodiscard]] std::uint64_t settled_ranges_max() const {
    return limits_.settled_ranges_max + timed_->size();
  }
  [[nodiscard]] message_offset fresh_limit(const group& g, message_offset next) const;
  [[nodiscard]] offset_range next_fresh(const group& g, message_offset limit);
  [[nodiscard]] std::optional<message_offset> next_ready(offset_range fresh,
                                                         message_offset limit) const;
  bool deliver_reserved(const delivery::lookup& look, std::size_t& room, run& making,
                        const group& g, std::set<message_offset>& wanted);
  void deliver_ready(const group& g, message_offset next, const delivery::lookup& look,
                     std::size_t room, run& making, std::set<message_offset>& wanted);
  [[nodiscard]] static std::uint32_t attempt_of(const group& g, message_offset offset);

  // Ordered groups (dispatch_ordered.cpp).
  [[nodiscard]] bool is_switching(const group& g) const { return ordered_ != g.policy().ordered; }
  void keep_order(const group& g, const moment& now);
  void begin_in_order(const group& g, const moment& now);
  void settle_keys(offset_range range);
  bool forget_in_order(message_offset offset);
  [[nodiscard]] bool is_placed_by_key(const group& g, message_offset offset) const;
  void start_in_order(const group& g, gathering& out);
  [[nodiscard]] std::optional<message_offset> suspect_for(consumer_id who) const;
  void leave_keys(consumer_id who);
  void deliver_in_order(const group& g, message_offset next, const moment& now,
                        const delivery::lookup& look, std::size_t room, run& making,
                        std::set<message_offset>& wanted);
  [[nodiscard]] std::optional<message_offset> next_in_order(const group& g, message_offset limit);
  [[nodiscard]] bool take_turn(const group& g, message_offset offset, key_number key,
                               const moment& now);
  enum class takes : std::uint8_t { somebody, holder_later, nobody };
  [[nodiscard]] takes choose_taker(message_offset offset, key_number key, std::uint64_t size);
  void hand_over(run& making, consumer_id who, message_offset offset, std::uint32_t attempt,
                 std::uint64_t size);
  void close_run(run& making);

  delivery_limits limits_;
  const timed_messages* timed_;
  bool begun_ = false;
  bool recheck_ = false; ///< the policy changed: some may have failed too often by now
  std::map<consumer_id, consumer> consumers_;
  std::set<consumer_id> open_; ///< those that can take a message
  consumer_id last_served_;    ///< the next one is served first
  std::uint64_t held_ = 0;     ///< messages in leases, all consumers
  std::set<std::tuple<milliseconds, consumer_id, message_offset>> deadlines_; ///< by lease's end
  message_offset
      cursor_;          ///< nothing at or above it was delivered by this leader for the first time
  offset_set returned_; ///< may go out as it is: a first delivery, or an attempt that is recorded
  offset_set come_;     ///< ready for a first delivery: its time has come, or a seek went back
  offset_set to_start_; ///< ready, once its next attempt is recorded
  /// As `to_start_`, but perhaps what its consumers died of: one at a time for each consumer, so
  /// that none of them has to die of another.
  offset_set suspects_;
  std::map<consumer_id, message_offset> suspected_; ///< the last one begun for each consumer
  offset_set settling_;  ///< acked, failed or dead in a proposal that is not committed
  schedule delayed_;     ///< due when, on the steady clock
  schedule expiring_;    ///< unsettled messages that will expire, wherever they are
  offset_set overdue_;   ///< unsettled messages that would have expired, but are out
  offset_set expired_;   ///< to be buried
  bool ordered_ = false; ///< as the policy says, as soon as nothing is out the other way
  key_order keys_;
  offset_set promoted_; ///< their turn has come, and they have no other place yet
  std::map<consumer_id, offset_set> kept_; ///< ready, for their key's consumer, that has no room
  /// The attempt is proposed, and then (`reserved_`) recorded; meant for a consumer; none: it left.
  std::map<message_offset, std::optional<consumer_id>> starting_;
  std::map<message_offset, consumer_id> reserved_;
};

} // namespace waybill
