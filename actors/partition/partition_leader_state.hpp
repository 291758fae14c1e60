// What a partition leader keeps and does; the behaviour's table of contents is in
// partition_leader.cpp.
#pragma once

#include "actors/limit_gauge.hpp"
#include "actors/partition/delivery_pump.hpp"
#include "actors/partition/leader_log.hpp"
#include "actors/partition/partition_leader.hpp"
#include "actors/rules/delivery.hpp"
#include "actors/rules/group_watch.hpp"
#include "actors/rules/producers.hpp"
#include "actors/rules/retention.hpp"

#include <deque>
#include <functional>
#include <random>
#include <set>

namespace waybill {

/// What of one group fills.
struct group_gauges {
  group_gauges(const alarm_way& to, const delivery_limits& limits, const std::string& whose);
  void rose(const group_fill& now);
  void look(const group_fill& now, milliseconds at);
  /// Somebody looks at the dead letters.
  void looked(const group_fill& now);
  limit_gauge ranges, waiting, behind, consumers;
  standing_alarm held_back, unread, in_doubt, stuck, growing;
  stuck_watch settling;
  growth_watch letters;

private:
  void tell_stuck(const group_fill& now, milliseconds at);
  void tell_growing(const group_fill& now);
};

/// What of one partition fills, beside its groups.
struct partition_gauges {
  partition_gauges(const alarm_way& to, const limits& bounds, const std::string& whose);
  limit_gauge requests, groups, producers, timed;
  standing_alarm unclaimed; ///< retention takes what no group was there to read
};

/// A call for a transfer: answered when it is known what became of each of its dead letters.
struct transfer_question {
  caf::typed_response_promise<redrive_result> answer;
  redrive_result result;
  std::size_t parcels = 0; ///< of which that is not known yet
};
using question_ptr = std::shared_ptr<transfer_question>;

/// Dead letters that are to go to one partition in one batch, until their transfer begins.
struct parcel {
  std::string group;
  partition_id target;
  std::string topic;
  std::vector<message_offset> letters;
  std::string batch;
  question_ptr asked_by;
};

struct partition_leader_state {
  static inline const char* name = "partition-leader";

  enum class phase : std::uint8_t { recovering, leading, stopping, ended };
  /// Who waits for an entry to be committed; told nothing, or why it will not be.
  using committed_callback = std::function<void(const failure*)>;
  struct waiting {
    /// With their questions; the first one sent the batch, the others repeat it.
    std::vector<std::pair<publisher_actor, std::uint64_t>> publishers{};
    std::optional<hash128> batch_hash{};
    std::uint32_t timed = 0;    ///< messages in the batch that came with a time
    proposal_number proposal{}; ///< 0: not ours
    committed_callback then{};
  };
  struct settle_waiting {
    receiver_actor receiver;
    settle_outcome outcome;
  };

  partition_leader_actor::stateful_pointer<partition_leader_state> self;
  partition_leader_args args;
  storage_writer_actor writer;
  phase now_is = phase::recovering;

  std::optional<leader_log> log;
  std::optional<commit_rule> commits;
  std::optional<delivery> rules;
  std::optional<producers> senders;
  std::optional<retention> keeper;
  std::optional<delivery_pump> pump;
  log_index start_index; ///< of this epoch's start entry
  log_position applied;
  wall_time applied_stamp{};
  message_offset applied_offset; ///< after the last message applied
  std::uint64_t confirmed = 0;

  std::map<log_index, waiting> waits;
  std::multimap<proposal_number, settle_waiting> settles;
  /// A nack about which a policy is asked, and the delivery that it speaks of.
  struct judged_nack {
    settle_request said;
    std::shared_ptr<const void> lease;
  };
  std::map<std::uint64_t, judged_nack> judging; ///< by question
  std::uint64_t next_judging = 1;
  std::map<consumer_id, receiver_actor> consumers;
  std::map<caf::actor_addr, consumer_id> consumer_of;
  std::map<std::string, std::vector<committed_callback>> creating; ///< groups, by name
  std::set<std::pair<std::string, message_offset>> moving;         ///< dead letters being redriven
  std::vector<message_offset>
      last_removed; ///< dead letters that the redrive applied last has removed
  struct under_way {
    courier_actor courier;
    question_ptr asked_by{};   ///< none: the transfer was begun before this leader
    failure why{ec::none, {}}; ///< why it ends, if not well
  };
  std::map<partition_id, std::deque<parcel>> parcels; ///< that wait for others to their target
  std::set<partition_id> opening;                     ///< targets
  std::map<log_index, under_way> couriers;            ///< by the entry that began the transfer
  std::set<question_ptr> questions;
  /// What the seek applied last has done; none: its group was gone.
  std::optional<seek_result> last_seek;
  std::optional<proposal> filling; ///< waits for its dead letters' messages
  std::set<message_offset> reading;
  std::map<publisher_actor, publish_outcomes> answers; ///< of the entries that commit together
  std::map<receiver_actor, settle_outcomes> settled;

  std::mt19937_64 random{std::random_device{}()}; ///< jitter only
  std::size_t proposals_waiting = 0;              ///< appended and not committed
  std::size_t timed_appended = 0; ///< messages with a time, appended and not committed
  std::optional<milliseconds> tick_armed;
  std::uint64_t bytes_since_checkpoint = 0;
  milliseconds checkpointed_at{};
  bool checkpointing = false;
  milliseconds looked_at_retention{};
  bool retention_waiting = false; ///< appended and not committed
  std::optional<partition_gauges> gauges;
  std::optional<milliseconds> gauges_due; ///< when to look again, if nothing makes one look before
  std::map<std::string, group_gauges> gauges_of_groups;
  caf::typed_response_promise<done> stopper;

  // ---- The beginning and the end (partition_leader.cpp)
  // -------------------------------------------
  void start();
  void begin(const recovered_partition& found);
  void replay();
  void take_replayed(const entries& piece);
  void leads();
  caf::result<done> stop();
  void stop_if_idle();
  void step_down(const failure& why);
  [[nodiscard]] std::optional<failure> refusal() const;
  /// That there is no such group.
  [[nodiscard]] std::optional<failure> no_group(const std::string& group) const;
  /// Why this group may not be given more now than its consumers settle; none: it may.
  [[nodiscard]] std::optional<failure> refusal_of_change(const std::string& group) const;
  [[nodiscard]] double draw();

  // ---- The log (leader_commit.cpp)
  // ----------------------------------------------------------------
  log_index append(entry_kind kind, std::uint32_t messages, shared_bytes body, waiting who);
  void stored(log_index up_to);
  void commit();
  void apply(const entry& e, const waiting& who);
  void apply_messages(const entry& e, const waiting& who);
  void apply_times(const cached_entry& what);
  void apply_delivery(const entry& e, const waiting& who);
  void apply_group(const group_record& record);
  void applied_seek(const group_record& record, const std::optional<group_counts>& before);
  void apply_redrive(const entry& e);
  void checkpoint_if_due();
  void checkpoint();
  void arm_tick();
  void tick();

  // ---- Retention (leader_retention.cpp)
  // -----------------------------------------------------------------
  void set_retention(const retention_settings& settings);
  [[nodiscard]] std::optional<milliseconds> next_look_at_retention() const;
  void look_at_retention();
  void warn_of(message_offset endangered_below);
  void warn(const std::string& group, message_offset endangered_below);
  void warn_of_unclaimed(message_offset endangered_below);
  void apply_retention(const retention_record& record);

  // ---- What fills (leader_alarms.cpp)
  // -----------------------------------------------------------------
  void begin_gauges();
  [[nodiscard]] group_gauges& gauges_of(const std::string& group);
  void group_rose(const std::string& group);
  void look_at_gauges();
  void looked_at_letters(const std::string& group);
  void pending_rose(std::uint64_t bytes);
  void tell_listeners(const letter_changes& buried);

  // ---- Producers (leader_publish.cpp)
  // -------------------------------------------------------------
  void publish(const publisher_actor& from, const publish_request& what);
  [[nodiscard]] std::optional<failure> no_room() const;
  [[nodiscard]] std::optional<failure> no_room_for_timed(std::uint32_t more) const;
  void answer(const publisher_actor& to, publish_outcome outcome);
  void send_answers();
  caf::result<opened_here> open(const std::string& producer, std::uint64_t instance,
                                bool take_over);

  // ---- Groups and consumers (leader_deliver.cpp)
  // --------------------------------------------------
  caf::result<milliseconds> join(const receiver_actor& who, const join_request& what);
  void with_group(const std::string& group, const policy_update& change, committed_callback then);
  caf::result<done> leave(consumer_id who, leaving how);
  void settle(const settle_request& what);
  void settled_by(const receiver_actor& receiver, std::uint64_t question, settling result);
  /// Whether a redelivery policy is asked first; `settle_failed` follows.
  [[nodiscard]] bool ask_policy(const settle_request& what);
  void settle_failed(std::uint64_t judged, const redelivery& answer);
  void settle_judged(const judged_nack& judged, const redelivery& answer);
  void settle_unjudged(consumer_id who);
  caf::result<done> set_group(const std::string& group, const policy_update& change);
  caf::result<done> remove_group(const std::string& group);
  caf::result<seek_result> seek(const std::string& group, const seek_target& target);
  void append_seek(const std::string& group, message_offset target,
                   caf::typed_response_promise<seek_result> answer);
  void forget_consumer(consumer_id who);
  void end_consumers();
  void propose();
  [[nodiscard]] bool fill_letters();
  void deliver();
  void read_wanted();
  void read(message_offset offset);
  [[nodiscard]] bool is_needed(message_offset offset) const;
  /// After any round of events: answers, proposals, deliveries, the next tick.
  void turn();

  // ---- Administration (leader_admin.cpp)
  // ----------------------------------------------------------
  partition_view describe();
  caf::result<redrive_result> redrive(const std::string& group,
                                      const std::vector<message_offset>& offsets);
  caf::result<redrive_result> purge(const std::string& group,
                                    const std::vector<message_offset>& offsets);
  void append_redrive(const std::string& group, const std::vector<dead_letter>& letters,
                      redrive_result result, caf::typed_response_promise<redrive_result> answer);
  [[nodiscard]] partition_snapshot snapshot() const;
  [[nodiscard]] basis_ptr basis() const;

  // ---- Dead letters in hand (leader_letters.cpp)
  // ----------------------------------------------------
  /// Those that nothing is under way for; they are `moving` from here on. The others are `left`.
  [[nodiscard]] std::vector<message_offset>
  take_free(const std::string& group, std::vector<message_offset> offsets, redrive_result& into);
  void read_taken(const std::string& group, const std::vector<message_offset>& taken,
                  std::function<void(const letter_list&)> then,
                  std::function<void(const failure&)> failed);
  void let_go(const std::string& group, const std::vector<message_offset>& taken);

  // ---- Transfers (leader_transfer.cpp)
  // -------------------------------------------------------------
  caf::result<redrive_result> transfer(const std::string& group,
                                       const std::vector<message_offset>& offsets,
                                       const transfer_wish& wish);
  [[nodiscard]] std::optional<failure> no_room_for_transfer() const;
  void find_target(const std::string& group, const letter_list& letters, const transfer_wish& wish,
                   const question_ptr& asked_by);
  void make_parcels(const std::string& group, const std::vector<dead_letter>& letters,
                    const topic_view& to, const transfer_wish& wish, const question_ptr& asked_by);
  void enter_parcel(const std::string& group, const std::vector<dead_letter>& letters,
                    const topic_view& to, std::uint32_t number, const question_ptr& asked_by);
  void next_parcel(partition_id target);
  void open_target(const parcel& p, const topic_view& found);
  void begin_transfer(const parcel& p, const opened_here& opened);
  void transfer_begun(const parcel& p, const transfer_state& what);
  void leave(const parcel& p, const failure& why);
  void fail(const parcel& p, const failure& why);
  void answer_if_whole(const question_ptr& asked_by);
  void carry(const std::string& group, log_index begun, const transfer_state& what,
             std::string batch, question_ptr asked_by);
  void carry_on();
  void carried_out(log_index begun, const carried& what);
  void apply_transfer(const entry& e);
  void transfer_ended(const transfer_record& how, const transfer_state& was);
  void transfer_gone(const std::string& group, log_index begun, const transfer_state& was);
  void courier_down(const caf::down_msg& down);
  void end_transfers(const failure& why);
  caf::result<redrive_result> release(const std::string& group,
                                      const std::vector<message_offset>& offsets);
  [[nodiscard]] transfers_ptr transfers(const std::string& group) const;
};

} // namespace waybill
