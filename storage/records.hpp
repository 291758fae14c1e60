// The contents of entries that change a partition's state, and of its checkpoints, as plain values;
// their bytes are Cap'n Proto (storage/format.capnp), read and written by storage/records_codec.
// The rules (actors/rules) work with these and know nothing of bytes.
#pragma once

#include "storage/entry.hpp"
#include "storage/types.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace waybill {

using std::chrono::milliseconds;

/// How a group redelivers. Every field can be set per group; defaults are limits' `delivery.*`.
struct group_policy {
  milliseconds lease{30'000};      ///< time in which a consumer must settle a message
  std::uint32_t attempts_max = 16; ///< deliveries that may fail before it is a dead letter
  milliseconds delay{1'000};       ///< before the second delivery
  double factor = 2.0;             ///< by which the delay grows with each further attempt; >= 1
  milliseconds delay_max{300'000};
  double jitter = 0.1; ///< the delay is varied by up to this share, 0 .. 1
  /// One message of each key at a time, in order, and a key's messages to one consumer.
  bool ordered = false;
  friend bool operator==(const group_policy&, const group_policy&) = default;
};

/// Why a delivery did not settle its message; numbers are on disk.
enum class failed_because : std::uint8_t {
  nack = 1,           ///< the consumer said so
  lease_expired = 2,  ///< no answer in time
  disconnected = 3,   ///< the consumer vanished while it held the message
  leader_changed = 4, ///< it was out, counted, with a leader that is no more
  expired = 5         ///< its own time ran out: a dead letter, whatever attempts are left
};

/// Delivery number `attempt` (>= 2) of a message is about to be sent: committed before it is.
struct attempt_started {
  message_offset offset;
  std::uint32_t attempt = 0;
  friend bool operator==(const attempt_started&, const attempt_started&) = default;
};

/// Delivery number `attempt` failed; the message waits until `not_before`.
struct attempt_failed {
  message_offset offset;
  std::uint32_t attempt = 0;
  failed_because why = failed_because::nack;
  std::string reason;   ///< the consumer's words, bounded by `delivery.reason-bytes-max`
  std::string consumer; ///< its name
  wall_time first_delivered{};
  wall_time not_before{};
  friend bool operator==(const attempt_failed&, const attempt_failed&) = default;
};

/// A message that the group gave up on. Settles it; carries all that a person needs.
struct dead_letter {
  message_offset offset;
  std::uint32_t attempts = 0;
  failed_because why = failed_because::nack;
  std::string reason;
  std::string consumer; ///< the last one that had it
  wall_time first_delivered{};
  wall_time published{};
  wall_time died{};
  /// A serialised `Message` of storage/format.capnp. Empty in what the rules propose; the shell
  /// fills it in before the entry is appended; never empty on disk.
  std::string message;
  friend bool operator==(const dead_letter&, const dead_letter&) = default;
};

/// What one entry changes for one group; applied in this order.
struct group_changes {
  std::string group;
  std::vector<offset_range> acked;
  std::vector<attempt_started> started;
  std::vector<attempt_failed> failed;
  std::vector<dead_letter> dead;
  friend bool operator==(const group_changes&, const group_changes&) = default;
};

/// Body of a `delivery` entry.
struct delivery_record {
  std::vector<group_changes> groups;
  friend bool operator==(const delivery_record&, const delivery_record&) = default;
};

enum class group_action : std::uint8_t { create = 1, update = 2, remove = 3, seek = 4 };

/// Body of a `group` entry.
struct group_record {
  group_action action = group_action::create;
  std::string group;
  group_policy policy; ///< for create and update
  /// For create: nothing before it belongs to the group. For seek: from here on it reads (again).
  message_offset start;
  friend bool operator==(const group_record&, const group_record&) = default;
};

/// Body of a `producer` entry: the opening that from here on is the only one that may publish.
struct producer_record {
  std::string producer;
  producer_epoch opened;
  std::uint64_t instance = 0; ///< random, of the client process that holds it
  friend bool operator==(const producer_record&, const producer_record&) = default;
};

/// Body of a `redrive` entry. With a batch: the dead letters' messages, again, under new offsets,
/// for this group alone; without: they are purged.
struct redrive_record {
  std::string group;
  std::vector<message_offset>
      dead_letters;  ///< removed; the i-th message of `batch` is the i-th of these
  std::string batch; ///< a serialised `Batch`; empty: purged
  friend bool operator==(const redrive_record&, const redrive_record&) = default;
};

/// Body of a `retention` entry: what a topic's settings come to, by offset. Both places only move
/// on.
struct retention_record {
  /// What lies before goes, read or not: of what a group had not settled, `dropped_unread` tells.
  message_offset dropped_below;
  /// From here on messages stay when every group has settled them; none: they may go at once. When
  /// it begins it is the next offset, whatever stands here: what was settled before may be gone.
  std::optional<message_offset> kept_from;
  friend bool operator==(const retention_record&, const retention_record&) = default;
};

/// How long a topic's messages stay, beside "until every group has settled them"; 0: off. A change
/// of a topic's settings is no entry: what it comes to is, as `retention_record`.
struct retention_settings {
  milliseconds keep{};     ///< so long they stay although every group has settled them
  milliseconds age{};      ///< after so long they go, read or not
  std::uint64_t bytes = 0; ///< with so much published behind them, in a partition, they go
  [[nodiscard]] bool is_off() const { return *this == retention_settings{}; }
  friend bool operator==(const retention_settings&, const retention_settings&) = default;
};

/// Dead letters on their way to a partition, of another topic or of their own, as messages for all
/// of its groups: everything that makes a repeat the same. See actors/rules/transfers.hpp.
struct transfer_state {
  std::vector<message_offset> dead_letters; ///< ascending; the i-th is the batch's i-th message
  partition_id target;
  std::string topic;                  ///< the target's name
  producer_epoch opened;              ///< the one opening at the target that may send the batch
  batch_number number;                ///< under which it is sent
  batch_number previous;              ///< what the target had taken when it was opened
  hash128 hash;                       ///< of the batch's bytes
  std::optional<std::string> doubt{}; ///< why nobody knows whether it arrived; none: on its way
  friend bool operator==(const transfer_state&, const transfer_state&) = default;
};

enum class transfer_action : std::uint8_t {
  begin = 1,   ///< from here on the dead letters are locked, and the batch may be sent
  done = 2,    ///< it has arrived: they are removed
  abandon = 3, ///< it did not, or a person gave it up: they are ordinary dead letters again
  doubt = 4    ///< nobody knows: they stay locked until a person decides
};

/// Body of a `transfer` entry.
struct transfer_record {
  transfer_action action = transfer_action::begin;
  std::string group;
  log_index begun;      ///< the index of the entry that began it; 0 in that entry
  transfer_state what;  ///< for begin
  message_offset first; ///< for done: the first message's offset in the target
  log_position entry;   ///< for done: the entry there
  std::string reason;   ///< for abandon and doubt
  friend bool operator==(const transfer_record&, const transfer_record&) = default;
};

/// A message of a group that has failed before, or waits, or was counted as out.
struct attempts_state {
  std::uint32_t failed = 0;  ///< deliveries that failed, and are recorded
  std::uint32_t started = 0; ///< the highest delivery recorded as begun; > failed: it was out
  failed_because why = failed_because::nack;
  std::string reason;
  std::string consumer;
  wall_time first_delivered{};
  wall_time not_before{};
  friend bool operator==(const attempts_state&, const attempts_state&) = default;
};

/// The group's side of the books, as counts of messages; each is counted where it happens.
struct group_counts {
  std::uint64_t arrived = 0; ///< committed since the group's start (or live at its creation)
  std::uint64_t acked = 0;
  std::uint64_t dead = 0;       ///< became a dead letter (what is held now: the dead-letter store)
  std::uint64_t redriven = 0;   ///< dead letters that were sent back
  std::uint64_t purged = 0;     ///< dead letters that were removed for good
  std::uint64_t for_others = 0; ///< arrived by a redrive of another group: settled on arrival
  std::uint64_t expired = 0;    ///< of `dead`: those whose own time ran out
  std::uint64_t skipped = 0;    ///< settled by a seek forwards
  std::uint64_t reopened = 0;   ///< no longer settled after a seek backwards; beside `arrived`
  std::uint64_t dropped_unread = 0; ///< settled because the topic's retention took them
  friend bool operator==(const group_counts&, const group_counts&) = default;
};

/// The replicated delivery state of one group in one partition.
struct group_snapshot {
  std::string group;
  group_policy policy;
  message_offset start;
  message_offset floor;              ///< everything below is settled
  std::vector<offset_range> settled; ///< above the floor, ascending, disjoint, not adjacent
  std::map<message_offset, attempts_state> attempts;
  std::map<message_offset, wall_time> dead_letters; ///< held now, with when they died
  group_counts counts;
  std::map<log_index, transfer_state> transfers; ///< by the entry that began them
  friend bool operator==(const group_snapshot&, const group_snapshot&) = default;
};

/// A batch that a producer sent, as remembered for its repeats.
struct remembered_batch {
  batch_number number;
  hash128 hash; ///< of the batch's bytes
  log_position entry;
  message_offset first_offset;
  std::uint32_t message_count = 0;
  friend bool operator==(const remembered_batch&, const remembered_batch&) = default;
};

struct producer_snapshot {
  std::string producer;
  producer_epoch opened;
  std::uint64_t instance = 0;
  wall_time last_used{};
  batch_number last;                     ///< the highest number taken
  std::vector<remembered_batch> batches; ///< the newest ones, ascending
  friend bool operator==(const producer_snapshot&, const producer_snapshot&) = default;
};

/// Messages that a redrive sent to one group alone.
struct addressed_range {
  offset_range offsets;
  std::string group;
  friend bool operator==(const addressed_range&, const addressed_range&) = default;
};

/// The times that a message came with; the epoch of the clock stands for none.
struct message_times {
  wall_time not_before{}; ///< not delivered before
  wall_time expires{};    ///< not delivered from here on: a dead letter instead
  friend bool operator==(const message_times&, const message_times&) = default;
};
using timed_messages = std::map<message_offset, message_times>;

/// A place in a log: how much was published before it, as encoded entries, and the last of it when.
struct retention_mark {
  message_offset offset;
  std::uint64_t bytes_before = 0;
  wall_time stamped_before{};
  friend bool operator==(const retention_mark&, const retention_mark&) = default;
};

/// All of a partition's replicated state after `at`; what a checkpoint holds.
struct partition_snapshot {
  log_position at;
  message_offset next_offset;
  wall_time last_stamp{};
  std::uint64_t confirmed = 0; ///< messages committed since the partition began
  std::vector<producer_snapshot> producers;
  std::vector<group_snapshot> groups;
  std::vector<addressed_range> addressed; ///< those that may still be live
  /// What every group had settled when a group last came or went: a group that comes later gets of
  /// these only what lies behind `kept_from`, for the others may be dropped. Ascending, disjoint,
  /// not adjacent.
  std::vector<offset_range> settled_by_all;
  timed_messages timed;                    ///< those that some group may still get
  std::optional<message_offset> kept_from; ///< as in `retention_record`
  retention_mark published;                ///< the log's end
  std::vector<retention_mark> marks;       ///< a few before it, ascending
  friend bool operator==(const partition_snapshot&, const partition_snapshot&) = default;
};

} // namespace waybill
