// The client library: publish with confirms, consume with acknowledgement after the work,
// administer. Needs KJ only. Every object may be used from any thread; calls block unless their
// name says otherwise. Source: docs/design.md, sections 7 and 8; the contract: net/waybill.capnp.
#pragma once

#include "storage/error.hpp"
#include "storage/types.hpp"

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace waybill {

using std::chrono::milliseconds;
using headers = std::vector<std::pair<std::string, std::string>>;

/// What every call of the library throws.
class client_error : public std::runtime_error {
public:
  explicit client_error(failure why) : std::runtime_error{why.detail}, code_{why.code} {}
  [[nodiscard]] ec code() const noexcept { return code_; }

private:
  ec code_;
};

struct outgoing_message {
  std::string key{}; ///< chooses the partition; empty: batches go to the partitions in turn
  waybill::headers headers{};
  std::string body{};
  /// Overrides the key's choice. Must exist.
  std::optional<std::uint32_t> partition{};
  /// Not delivered before: a time, or a span from the moment at which the node takes the message,
  /// by the node's clock. One of the two at most.
  std::optional<wall_time> deliver_at{};
  std::optional<milliseconds> delay{};
  /// Not delivered from here on: every group that has not acknowledged it by then gets it as a dead
  /// letter, `expired`. A time, or a span likewise.
  std::optional<wall_time> expires{};
  std::optional<milliseconds> time_to_live{};
  [[nodiscard]] bool has_times() const { return deliver_at || delay || expires || time_to_live; }
};

/// A message that could not be confirmed; `message` is what was given to `send`.
class unconfirmed_error : public client_error {
public:
  unconfirmed_error(failure why, outgoing_message m)
      : client_error{std::move(why)}, message{std::move(m)} {}
  outgoing_message message;
};

struct retry_policy {
  std::uint32_t retries = 3; ///< after the first send
  milliseconds interval{1'000};
  milliseconds attempt_timeout{10'000};  ///< one send without an answer
  milliseconds delivery_timeout{30'000}; ///< for all of it, looking for a server included
};

struct client_options {
  std::string user{};
  std::string secret{};
  std::string name = "waybill-client"; ///< for the node's logs
  milliseconds connect_timeout{5'000};
  milliseconds call_timeout{30'000}; ///< of administrative calls, looking for a server included
  /// Lines for people: connections lost and found, messages given up. Default: stderr.
  std::function<void(const std::string&)> log{};
};

enum class compression : std::uint8_t { none, zstd };

struct producer_options {
  std::string name{}; ///< empty: random, for this object's life
  retry_policy retry{};
  /// How long a batch waits for more messages. 0 with `batches_in_flight_max` 1: the first goes at
  /// once, and what comes meanwhile goes together as soon as that is confirmed.
  milliseconds linger{2};
  std::size_t batch_bytes_max = 256 * 1024; ///< before it is compressed
  std::uint32_t batch_messages_max = 1'000;
  /// Whether batches are compressed: once, in the library's thread; the node stores and delivers
  /// them as they are. One that would not get smaller goes plain, and so do all that the caller
  /// numbers: another process, that repeats one, must send the same bytes, and another version of
  /// zstd would make others.
  waybill::compression compression = compression::none;
  int compression_level = 3;             ///< of zstd: from 1, the fastest, to 19, the smallest
  std::size_t compress_from_bytes = 512; ///< batches of fewer bytes go plain
  std::size_t waiting_bytes_max = 64 * 1024 * 1024; ///< sends block beyond it
  std::uint32_t waiting_messages_max = 4'000;       ///< not yet confirmed; sends block beyond it
  std::uint32_t batches_in_flight_max = 8;          ///< per partition, in order
  /// Called once for each message that is given up, with why; besides the error and the log line.
  std::function<void(const outgoing_message&, const failure&)> alarm{};
};

/// How a message stands when its producer is closed.
enum class send_state : std::uint8_t {
  confirmed, ///< it has its receipt
  not_sent,  ///< it never left this process
  unknown    ///< it was sent and not answered: it may or may not be in the log
};
struct leftover {
  outgoing_message message;
  send_state state = send_state::unknown;
};

class producer {
public:
  producer(producer&&) noexcept;
  producer& operator=(producer&&) noexcept;
  ~producer(); ///< as `close(0ms)`, without the answer

  /// Returns when the message is safe. @throws unconfirmed_error after the last retry, or when the
  /// node refuses it for good
  receipt send(outgoing_message m);
  /// A body alone. A template, so that a message in braces is never taken for a text.
  template <std::convertible_to<std::string> Text>
  receipt send(Text body) {
    return send(outgoing_message{.body = std::move(body)});
  }
  /// Returns once there is room; the future becomes the receipt, or an unconfirmed_error.
  std::future<receipt> send_async(outgoing_message m);
  /// As `send_async`; `done` is called from the library's thread and must not block.
  void send_async(outgoing_message m, std::function<void(result<receipt>, outgoing_message)> done);
  /// Messages of one batch under a number of the caller's own, for producers that resume: to one
  /// partition, numbers grow. Blocks for room. `done` as above, with one receipt per message.
  void send_numbered(std::uint32_t partition, batch_number number,
                     std::vector<outgoing_message> batch,
                     std::function<void(result<std::vector<receipt>>)> done);
  /// Per partition, the batch with the highest number that the node had when this producer was
  /// opened; number 0: none. Of one that is out of service nothing is known: sends to it end with
  /// `partition_offline`.
  [[nodiscard]] std::vector<last_batch> last_batches() const;
  [[nodiscard]] std::uint32_t partitions() const;
  /// Sends what lingers; returns when every message so far is confirmed or given up.
  void flush();
  /// Takes no more, waits up to `patience` for confirms, and hands back what has none.
  std::vector<leftover> close(milliseconds patience);

  struct impl;
  explicit producer(std::shared_ptr<impl> i);

private:
  std::shared_ptr<impl> impl_;
};

/// A message that was delivered; a value, alive as long as one likes.
class message {
public:
  [[nodiscard]] const std::string& topic() const noexcept { return topic_; }
  [[nodiscard]] std::uint32_t partition() const noexcept { return partition_; }
  [[nodiscard]] message_offset offset() const noexcept { return offset_; }
  [[nodiscard]] std::string id() const { return message_id(topic_, partition_, offset_); }
  [[nodiscard]] const std::string& key() const noexcept { return key_; }
  [[nodiscard]] const waybill::headers& headers() const noexcept { return headers_; }
  [[nodiscard]] const std::string& body() const noexcept { return body_; }
  [[nodiscard]] std::uint32_t attempt() const noexcept { return attempt_; } ///< 1: the first
  [[nodiscard]] wall_time published() const noexcept { return published_; }

private:
  friend struct consumer_impl;
  std::string topic_;
  std::uint32_t partition_ = 0;
  message_offset offset_;
  std::string key_;
  waybill::headers headers_;
  std::string body_;
  std::uint32_t attempt_ = 1;
  wall_time published_{};
};

struct consume_options {
  std::string name{};                    ///< for people; empty: host and process id
  std::uint32_t credit_messages = 1'000; ///< held unsettled at once
  std::size_t credit_bytes = 16 * 1024 * 1024;
  std::uint32_t threads = 1; ///< `consume` only: handlers at once
  std::optional<milliseconds>
      idle_exit{}; ///< `consume` only: return after so long without a message
  std::optional<std::uint64_t> messages_max{}; ///< `consume` only: return after so many
};

/// One subscription, settled by hand.
class consumer {
public:
  consumer(consumer&&) noexcept;
  consumer& operator=(consumer&&) noexcept;
  ~consumer(); ///< as `close`

  /// The next message, or none after `patience`. Reconnects by itself.
  /// @throws client_error when the node refuses for good
  std::optional<message> next(milliseconds patience);
  /// The work is done. Pipelined: gathered, sent at once, not waited for.
  void ack(const message& m);
  /// Returns when the ack is committed: the group never sees the message again.
  /// @throws client_error `lease_lost` when another consumer holds it by now
  void ack_and_wait(const message& m);
  /// The work failed; no delay given: as the group's policy says.
  void nack(const message& m, const std::string& reason,
            std::optional<milliseconds> delay = std::nullopt);
  void extend(const message& m, milliseconds lease = milliseconds{0});
  /// Not worked on: somebody else gets it, no attempt is counted.
  void give_back(const message& m);
  /// Returns when every ack so far is committed. @returns how many of all acks came too late
  std::uint64_t flush();
  /// Commits what was acked, gives back what is held, ends.
  void close();

  struct impl;
  explicit consumer(std::shared_ptr<impl> i);

private:
  std::shared_ptr<impl> impl_;
};

// ---- Administration: the answers are plain copies of the contract's (net/waybill.capnp) ----

struct partition_info {
  std::uint32_t number = 0;
  std::string state; ///< "leading", "recovering", "offline"
  std::string detail;
  std::string leader;
  std::uint64_t epoch = 0;
  message_offset first_offset, next_offset;
  log_position commit;
  std::uint32_t groups = 0;
  std::uint64_t held_messages = 0;
};
/// How long a topic's messages stay, beside "until every group has settled them"; 0: off. Absent:
/// as it is, or off for a new topic.
struct retention_change {
  std::optional<milliseconds> keep{}; ///< so long they stay although every group has settled them
  std::optional<milliseconds> age{};  ///< after so long they go, read or not
  std::optional<std::uint64_t>
      bytes{}; ///< with so much published behind them, per partition, likewise
};
struct topic_info {
  std::string name;
  std::uint64_t id = 0;
  wall_time created{};
  retention_change retention; ///< all present
  std::vector<partition_info> partitions;
};
/// Absent: as it is, or the default.
struct policy_change {
  std::optional<milliseconds> lease, delay, delay_max;
  std::optional<std::uint32_t> attempts_max;
  std::optional<double> factor, jitter;
  /// One message of each key at a time, in order, and a key's messages to one consumer.
  std::optional<bool> ordered;
};
struct group_partition_info {
  std::uint32_t partition = 0;
  message_offset start, floor;
  std::uint64_t ready = 0, leased = 0, delayed = 0, acked = 0, dead = 0;
  std::uint32_t consumers = 0, settled_ranges = 0;
  std::uint64_t behind = 0; ///< of `ready`: behind another of their key (an ordered group)
};
struct group_info {
  std::string name;
  policy_change policy; ///< all present
  std::vector<group_partition_info> partitions;
};
/// Where a group goes on reading.
struct seek_to {
  enum class kind : std::uint8_t { earliest, latest, offset, time };
  kind where = kind::earliest;
  message_offset offset{}; ///< for `offset`: of one partition
  wall_time at{};          ///< for `time`: the first message that the node took then or later
};
struct sought {
  message_offset offset;
  std::uint64_t skipped = 0, reopened = 0; ///< messages
};
struct dead_letter_info {
  std::uint32_t partition = 0;
  message_offset offset;
  std::uint32_t attempts = 0;
  std::string why, reason, consumer;
  wall_time first_delivered{}, published{}, died{};
  std::string key;
  waybill::headers headers;
  std::string body;        ///< empty unless asked for
  std::uint32_t bytes = 0; ///< of key, headers and body
  /// On its way to another partition: "under-way", "in-doubt" (nobody knows whether it arrived, and
  /// a person decides), or empty.
  std::string transfer;
  std::string transfer_to;  ///< `topic/partition`
  std::string transfer_why; ///< in doubt: why
};
/// A dead letter that stays one, and why.
struct letter_left {
  message_offset offset;
  failure why;
};
struct redriven {
  std::uint32_t partition = 0;
  std::vector<std::pair<message_offset, std::optional<message_offset>>>
      moved; ///< old; new if redriven
  std::vector<letter_left> left;
};
/// Dead letters of one partition that went to another topic or partition.
struct transferred {
  struct moved_letter {
    message_offset from;
    std::uint32_t to_partition = 0;
    message_offset to;
  };
  std::vector<moved_letter> moved;
  std::vector<letter_left> left;
};
struct group_books {
  std::string group;
  std::uint64_t arrived = 0, acked = 0, ready = 0, leased = 0, delayed = 0, dead = 0, redriven = 0,
                purged = 0, for_others = 0;
  std::uint64_t expired = 0;               ///< of all that ever became dead letters here
  std::uint64_t skipped = 0, reopened = 0; ///< by seeks; the latter beside `arrived`
  std::uint64_t dropped_unread = 0;        ///< by the topic's retention
  bool balances = false;
};
struct partition_books {
  std::uint32_t partition = 0;
  std::uint64_t confirmed = 0, live = 0, dropped = 0, entries = 0;
  bool balances = false;
  std::vector<std::string> faults;
  std::vector<group_books> groups;
  log_position at;
};
enum class verdict : std::uint8_t { in_log, dropped, different, unknown };
struct verification {
  verdict found = verdict::unknown;
  std::string detail;
};
/// Of the node's process; two of them with the same `started` tell what lies between them.
struct node_stats {
  std::uint64_t process = 0; ///< its id on its machine
  std::string machine;       ///< Linux: the boot_id of that machine
  wall_time started{};
  std::chrono::microseconds cpu_user{0}, cpu_system{0};
  std::uint64_t memory_bytes = 0;      ///< resident now; 0: not known
  std::uint64_t memory_peak_bytes = 0; ///< the most since the start, or the last reset
  std::uint64_t syncs = 0;             ///< calls of fdatasync and fsync by the store
};
/// News of an alarm: that it was raised, or that it is over.
struct alarm_info {
  std::string name;        ///< stable: `disk-full`, `limit-near`, …
  std::string subject;     ///< what it is about: a partition, a group, a limit's key
  std::string level;       ///< `notice`, `warning`, `critical`
  std::string detail;      ///< a sentence: what is so, or why it is over
  std::string advice;      ///< a sentence: what to do
  wall_time since{}, at{}; ///< when it was raised; when this was told
  bool raised = true;
};
struct alarm_list {
  wall_time started{};               ///< the node's process, and the number of its last news:
  std::uint64_t last = 0;            ///< for `alarms_after`
  std::vector<alarm_info> raised;    ///< all that stand, the longest first
  std::uint64_t unlisted = 0;        ///< that stand besides: the list is bounded
  std::vector<alarm_info> changes{}; ///< since what was known, in order
  std::uint64_t missed = 0;          ///< changes that the node does not remember any more
};
enum class memory_peak : std::uint8_t { keep, reset };

class client {
public:
  /// `servers`: HOST:PORT, several with commas between. Does not connect yet.
  explicit client(std::string servers, client_options options = {});
  client(client&&) noexcept;
  ~client();

  /// @throws client_error, also when the topic does not exist
  waybill::producer producer(const std::string& topic, producer_options options = {});
  waybill::consumer subscribe(const std::string& topic, const std::string& group,
                              consume_options options = {});
  /// Calls `handler` for each message: it returns: acknowledged; it throws: nack with the
  /// exception's words. Blocks until `stop`, `idle_exit` or `messages_max`; what it returns from is
  /// committed.
  /// @returns how many were acknowledged
  std::uint64_t consume(const std::string& topic, const std::string& group,
                        std::function<void(const message&)> handler, consume_options options = {});
  /// Ends every `consume` of this client, from any thread or a signal handler's thread, and for
  /// good: one that begins later returns at once.
  void stop();

  void create_topic(const std::string& name, std::uint32_t partitions,
                    const retention_change& retention = {});
  void set_topic(const std::string& name, const retention_change& change);
  std::vector<topic_info> list_topics();
  topic_info describe_topic(const std::string& name);
  void delete_topic(const std::string& name);
  std::vector<group_info> list_groups(const std::string& topic);
  void set_group(const std::string& topic, const std::string& group, const policy_change& change);
  void delete_group(const std::string& topic, const std::string& group);
  /// From there on the group reads one partition (again). What every group had settled may be gone,
  /// and does not come again. A call that got no answer is repeated, and does the same once more.
  sought seek_group(const std::string& topic, const std::string& group, std::uint32_t partition,
                    const seek_to& target);
  /// All of one partition's from `from` on, in pages; `page` returns false to end early.
  void list_dead_letters(const std::string& topic, const std::string& group,
                         std::uint32_t partition, message_offset from, bool with_bodies,
                         const std::function<bool(const dead_letter_info&)>& page);
  redriven redrive_dead_letters(const std::string& topic, const std::string& group,
                                std::uint32_t partition, std::span<const message_offset> offsets);
  redriven purge_dead_letters(const std::string& topic, const std::string& group,
                              std::uint32_t partition, std::span<const message_offset> offsets);
  /// To `to_topic`, as messages for all of its groups; without a partition each by its key. Answers
  /// when it is known what became of each. None is lost and none arrives twice; a call without an
  /// answer goes on all the same, and is repeated: what it had moved by then is passed over, so
  /// that where that went is in the messages' headers alone.
  transferred transfer_dead_letters(const std::string& topic, const std::string& group,
                                    std::uint32_t partition,
                                    std::span<const message_offset> offsets,
                                    const std::string& to_topic,
                                    std::optional<std::uint32_t> to_partition = {});
  /// Gives up the transfers that these are in: all of their dead letters, the ones answered, are
  /// ordinary ones again, whether or not they arrived.
  std::vector<message_offset> release_dead_letters(const std::string& topic,
                                                   const std::string& group,
                                                   std::uint32_t partition,
                                                   std::span<const message_offset> offsets);
  partition_books audit(const std::string& topic, std::uint32_t partition);
  verification verify(const receipt& r);
  alarm_list alarms();
  /// Waits for news behind `known`, `patience` at the most (and no longer than half of the call
  /// time-out). After a restart of the node: all that is remembered, without waiting.
  alarm_list alarms_after(const alarm_list& known, milliseconds patience);
  /// `reset`: for whoever asks later, the peak counts from this answer on.
  node_stats stats(memory_peak peak = memory_peak::keep);

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace waybill
