// The page of limits: every bound of a node, with its default. Each is a key of the configuration
// (`config/limits.cpp` names key, unit, range and what happens at the end of it); a test walks that
// table and drives each one to its end (tests/node/limits_test.cpp). Nothing is dropped in silence.
// Source: docs/design.md, 5.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace waybill {

using std::chrono::milliseconds;

struct net_limits {
  std::uint64_t message_bytes_max = 1u << 20; ///< key, headers, body; 16 MiB at the most
  std::uint64_t batch_bytes_max = 4u << 20;   ///< a serialised batch; >= message_bytes_max + 4 KiB
  std::uint64_t batch_messages_max = 10'000;
  std::uint64_t connections_max = 10'000;         ///< further ones are closed at once
  std::uint64_t sessions_max = 10'000;            ///< producers and subscriptions of one connection
  std::uint64_t in_flight_max = 1'000;            ///< unanswered publishes of one producer
  std::uint64_t connection_bytes_max = 64u << 20; ///< of unanswered calls of one connection
  milliseconds login_timeout{10'000}; ///< a connection that has not logged in by then ends
};

struct storage_limits {
  std::uint64_t generation_bytes = 1u << 30;    ///< a generation is sealed beyond it
  std::uint64_t generation_entries = 1'000'000; ///< or beyond so many entries
  std::uint64_t write_buffer_bytes = 16u << 20; ///< LevelDB's, per open generation
  std::uint64_t block_cache_bytes = 32u << 20;  ///< LevelDB's, for all
  std::uint64_t open_generations_max = 16;      ///< kept open for reading
  std::uint64_t tables_bytes_max = 64u
                                   << 20; ///< tables of contents of sealed generations in memory
  std::uint64_t group_commit_bytes = 4u << 20;  ///< of one synced write
  std::uint64_t pending_bytes_max = 256u << 20; ///< waiting to be written; further: overloaded
  std::uint64_t empty_below_percent = 10;       ///< a generation with less that is live is emptied
  std::uint64_t disk_free_min = 1ull << 30;     ///< below it publishing is refused
  std::uint64_t tail_bytes_max = 64u << 20;     ///< newest entries kept in memory, all partitions
  milliseconds request_timeout{30'000};         ///< of one write or read
};

struct delivery_limits {
  milliseconds lease{30'000}; ///< default of a new group, as the next five
  std::uint64_t attempts_max = 16;
  milliseconds delay{1'000};
  double factor = 2.0;
  milliseconds delay_max{300'000};
  double jitter = 0.1;
  std::uint64_t settled_ranges_max = 100'000;  ///< per group and partition; beyond: held back
  std::uint64_t waiting_max = 1'000'000;       ///< messages with attempts, per group and partition
  std::uint64_t timed_max = 200'000;           ///< messages published with a time, per partition
  std::uint64_t behind_max = 200'000;          ///< behind another of their key, likewise
  std::uint64_t keys_max = 100'000;            ///< idle keys whose consumer is remembered, likewise
  std::uint64_t groups_max = 1'000;            ///< per partition
  std::uint64_t consumers_max = 10'000;        ///< per group and partition
  std::uint64_t reason_bytes_max = 1'024;      ///< of a nack; longer ones are cut, marked by '…'
  std::uint64_t credit_messages_max = 100'000; ///< of one consumer
  std::uint64_t credit_bytes_max = 256u << 20;
  milliseconds lease_max{24 * 3'600'000};
  milliseconds stuck_after{600'000};     ///< nothing settled for so long: an alarm; 0: never
  std::uint64_t dead_letters_alarm = 10; ///< so many more than when somebody looked; 0: never
};

struct producer_limits {
  std::uint64_t producers_max = 10'000;     ///< remembered per partition; beyond: the oldest goes
  std::uint64_t remembered_batches = 1'024; ///< per producer and partition
  milliseconds age_max{7 * 24 * 3'600'000}; ///< unused for so long: forgotten
};

struct partition_limits {
  std::uint64_t topics_max = 10'000;
  std::uint64_t partitions_max = 10'000;       ///< of one topic
  std::uint64_t partitions_total_max = 50'000; ///< of one node
  std::uint64_t waiting_max = 100'000;         ///< requests of one partition not yet committed
  std::uint64_t checkpoint_bytes = 64u << 20;  ///< log written since the last checkpoint
  milliseconds checkpoint_interval{10'000};
  milliseconds retention_interval{60'000}; ///< from one look at what retention drops to the next
};

struct supervision_limits {
  std::uint64_t restarts_max = 5;       ///< failures of a child within the next span; then
  milliseconds restarts_within{60'000}; ///< the parent fails in its turn
  std::uint64_t restarts_alarm = 2;     ///< beyond so many of one part in that span: an alarm
};

struct extension_limits {
  milliseconds interceptor_timeout{1'000}; ///< for one batch; then it is refused, to be repeated
  milliseconds redelivery_timeout{1'000};  ///< for one failed message; then by the group's policy
  milliseconds listener_timeout{5'000};    ///< of a listener, for one alarm or dead letter
  std::uint64_t waiting_max = 1'000;       ///< that wait to be told to one listener
};

struct limits {
  net_limits net;
  storage_limits storage;
  delivery_limits delivery;
  producer_limits producers;
  partition_limits partitions;
  supervision_limits supervision;
  extension_limits extensions;
};

/// A limit's value: a count, a span of time, or a factor.
using limit_value = std::variant<std::uint64_t, milliseconds, double>;
/// Finds the member that a key stands for; its type is the limit's type.
using limit_member =
    std::variant<std::uint64_t& (*)(limits&), milliseconds& (*)(limits&), double& (*)(limits&)>;

/// Whether people are told before a limit bites.
enum class limit_alarm : std::uint8_t {
  near,     ///< something of the node fills: `limit-near`, at four fifths (actors/rules/near_limit)
  each,     ///< every step towards it raises an alarm of its own
  answered, ///< it concerns what one peer asks: that peer is answered, by error code
  none,     ///< nothing is refused at its end: it says how the work is done
};

/// One line of the page of limits. The default is what `limits{}` holds.
struct limit_key {
  std::string_view key;  ///< `net.message-bytes-max`: group and member, dashes for underscores
  std::string_view unit; ///< `bytes`, `messages`, `milliseconds`, …
  limit_member member;
  limit_value low; ///< the allowed range, both ends allowed; same type as the member
  limit_value high;
  std::string_view bounds; ///< one sentence: what it bounds
  std::string_view at_end; ///< one sentence: what happens there, by error code or alarm
  limit_alarm alarm;

  [[nodiscard]] limit_value read(const limits& from) const;
  /// @pre `value` has the member's type; it may lie out of range (tests drive limits to their ends)
  void write(limits& to, limit_value value) const;
  [[nodiscard]] bool in_range(const limit_value& value) const;
};

/// Every limit, group by group, in the order of the structs above.
[[nodiscard]] std::span<const limit_key> limit_keys();
/// One sentence for people: the alarm that comes before its end, or why there is none.
[[nodiscard]] std::string_view to_text(limit_alarm what);
/// Null when there is no such limit.
[[nodiscard]] const limit_key* find_limit(std::string_view key);

/// Two limits, each in its range, that contradict each other.
struct limit_conflict {
  std::string_view key;
  std::string_view other;
  std::string detail; ///< one sentence: both values, and what must hold between them
};
/// The first contradiction, if there is one.
[[nodiscard]] std::optional<limit_conflict> find_conflict(const limits& values);

/// As in a configuration file: `1048576`, `30s`, `500ms`, `2.0`.
[[nodiscard]] std::string to_string(const limit_value& value);

} // namespace waybill
