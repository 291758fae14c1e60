// Who may say what to whom: every typed interface between actors, on one page, and what crosses
// over to a client's connection. Source: docs/design.md, section 3.
//
// Two ways to ask. Where many questions are under way (publishing, settling) both sides send plain
// messages and a number says which answer belongs to which question: the asker monitors the other
// side, for an actor that dies answers nothing. Where questions are rare, CAF's request with a
// time-out.
#pragma once

#include "actors/node/process_figures.hpp"
#include "actors/rules/alarm_book.hpp"
#include "actors/rules/delivery.hpp"
#include "actors/rules/ledger.hpp"
#include "actors/rules/transfers.hpp"
#include "storage/entry.hpp"
#include "storage/error.hpp"
#include "storage/records.hpp"
#include "storage/store.hpp"
#include "storage/types.hpp"

#include <caf/all.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

CAF_BEGIN_TYPE_ID_BLOCK(waybill, caf::first_custom_type_id)
CAF_ADD_ATOM(waybill, waybill::atom, append, "append")
CAF_ADD_ATOM(waybill, waybill::atom, promise, "promise")
CAF_ADD_ATOM(waybill, waybill::atom, record, "record")
CAF_ADD_ATOM(waybill, waybill::atom, checkpoint, "checkpoint")
CAF_ADD_ATOM(waybill, waybill::atom, letters, "letters")
CAF_ADD_ATOM(waybill, waybill::atom, copy, "copy")
CAF_ADD_ATOM(waybill, waybill::atom, end_copy, "end_copy")
CAF_ADD_ATOM(waybill, waybill::atom, flush, "flush")
CAF_ADD_ATOM(waybill, waybill::atom, tick, "tick")
CAF_ADD_ATOM(waybill, waybill::atom, tidy, "tidy")
CAF_ADD_ATOM(waybill, waybill::atom, stored, "stored")
CAF_ADD_ATOM(waybill, waybill::atom, read, "read")
CAF_ADD_ATOM(waybill, waybill::atom, replay, "replay")
CAF_ADD_ATOM(waybill, waybill::atom, audit, "audit")
CAF_ADD_ATOM(waybill, waybill::atom, basis, "basis")
CAF_ADD_ATOM(waybill, waybill::atom, verify, "verify")
CAF_ADD_ATOM(waybill, waybill::atom, get, "get")
CAF_ADD_ATOM(waybill, waybill::atom, put, "put")
CAF_ADD_ATOM(waybill, waybill::atom, list, "list")
CAF_ADD_ATOM(waybill, waybill::atom, open, "open")
CAF_ADD_ATOM(waybill, waybill::atom, publish, "publish")
CAF_ADD_ATOM(waybill, waybill::atom, published, "published")
CAF_ADD_ATOM(waybill, waybill::atom, join, "join")
CAF_ADD_ATOM(waybill, waybill::atom, leave, "leave")
CAF_ADD_ATOM(waybill, waybill::atom, credit, "credit")
CAF_ADD_ATOM(waybill, waybill::atom, settle, "settle")
CAF_ADD_ATOM(waybill, waybill::atom, settled, "settled")
CAF_ADD_ATOM(waybill, waybill::atom, deliver, "deliver")
CAF_ADD_ATOM(waybill, waybill::atom, ended, "ended")
CAF_ADD_ATOM(waybill, waybill::atom, group, "group")
CAF_ADD_ATOM(waybill, waybill::atom, seek, "seek")
CAF_ADD_ATOM(waybill, waybill::atom, find, "find")
CAF_ADD_ATOM(waybill, waybill::atom, describe, "describe")
CAF_ADD_ATOM(waybill, waybill::atom, redrive, "redrive")
CAF_ADD_ATOM(waybill, waybill::atom, purge, "purge")
CAF_ADD_ATOM(waybill, waybill::atom, retain, "retain")
CAF_ADD_ATOM(waybill, waybill::atom, transfer, "transfer")
CAF_ADD_ATOM(waybill, waybill::atom, transfers, "transfers")
CAF_ADD_ATOM(waybill, waybill::atom, carried, "carried")
CAF_ADD_ATOM(waybill, waybill::atom, release, "release")
CAF_ADD_ATOM(waybill, waybill::atom, resolve, "resolve")
CAF_ADD_ATOM(waybill, waybill::atom, create, "create")
CAF_ADD_ATOM(waybill, waybill::atom, remove, "remove")
CAF_ADD_ATOM(waybill, waybill::atom, login, "login")
CAF_ADD_ATOM(waybill, waybill::atom, subscribe, "subscribe")
CAF_ADD_ATOM(waybill, waybill::atom, admin, "admin")
CAF_ADD_ATOM(waybill, waybill::atom, close, "close")
CAF_ADD_ATOM(waybill, waybill::atom, vanished, "vanished")
CAF_ADD_ATOM(waybill, waybill::atom, alarm, "alarm")
CAF_ADD_ATOM(waybill, waybill::atom, follow, "follow")
CAF_ADD_ATOM(waybill, waybill::atom, looked, "looked")
CAF_ADD_ATOM(waybill, waybill::atom, intercept, "intercept")
CAF_ADD_ATOM(waybill, waybill::atom, letter, "letter")
CAF_ADD_ATOM(waybill, waybill::atom, failed, "failed")
CAF_ADD_ATOM(waybill, waybill::atom, stop, "stop")
CAF_END_TYPE_ID_BLOCK(waybill)

namespace waybill {

// ---- Failures between actors
// ----------------------------------------------------------------------

/// A failure as CAF carries it, and back. Errors of CAF's own: nobody answered, in time or before
/// they ended, is `timed_out`; nobody was there to be asked (an empty handle) is `stopping`; both
/// may be repeated. All others are `internal`, with CAF's words.
[[nodiscard]] caf::error to_error(const failure& why);
[[nodiscard]] failure to_failure(const caf::error& why);

/// The answer that has nothing to tell but that it was done.
struct done {};

// ---- Alarms
// ---------------------------------------------------------------------------------------

/// A SINK OF ALARMS: told of each when it is raised and when it is over, one after the other; the
/// next one comes when it has answered.
using alarm_sink_actor = caf::typed_actor<caf::replies_to<atom::alarm, alarm_report>::with<done>>;
using alarm_news_ptr = std::shared_ptr<const alarm_news>;

// ---- Storage
// --------------------------------------------------------------------------------------

using entries = std::vector<entry>;
using record_list = std::vector<std::pair<std::string, std::string>>;
using checkpoint_ptr = std::shared_ptr<const checkpoint>;
using letter_changes = std::vector<std::variant<dead_letter_put, dead_letter_removed>>;
using entry_list = std::shared_ptr<const entries>;
using books_ptr = std::shared_ptr<const audited_partition>;
using basis_ptr = std::shared_ptr<const audit_basis>;
using letter_list = std::shared_ptr<const std::vector<dead_letter>>;
using recovered_ptr = std::shared_ptr<const recovered_partition>;

/// Whether disks still take messages; kept by the writer, read by leaders.
enum class disk_state : std::uint8_t { roomy, full };

/// STORAGE WRITER: the one writer of a data directory, on a thread of its own.
using storage_writer_actor = caf::typed_actor<
    // From a leader: append these, of one partition and one epoch. Answers the last index once it
    // is synced. `not_leader`: a higher epoch was promised. `storage_failed`: step down, never
    // repeat.
    caf::replies_to<atom::append, entries>::with<log_index>,
    // From a leader that begins its epoch: promise it, synced. Fences appends of lower epochs, also
    // those that wait here. Answers where the log stands.
    caf::replies_to<atom::promise, partition_id, epoch>::with<recovered_ptr>,
    // From the coordinator: small records (an empty value removes). Answers once synced.
    caf::replies_to<atom::record, record_list>::with<done>,
    // From a leader. Answers once it is synced.
    caf::replies_to<atom::checkpoint, partition_id, checkpoint_ptr>::with<done>,
    // From a leader: dead letters come and go, in log order.
    caf::reacts_to<atom::letters, letter_changes>,
    // From the partition supervisor: begin an empty copy, unless there is one. Answers its name.
    caf::replies_to<atom::copy, partition_id>::with<copy_id>,
    caf::replies_to<atom::end_copy, partition_id>::with<done>,
    // To itself, behind all that waits in the mailbox: write what has gathered.
    caf::reacts_to<atom::flush>,
    // To itself, now and then: drop what is dead; look at the free space.
    caf::reacts_to<atom::tidy>>;

/// What `verify` finds in a node's store.
enum class verify_finding : std::uint8_t { in_log, dropped, different, unknown };
struct verify_result {
  verify_finding found = verify_finding::unknown;
  std::string detail;
};

/// STORAGE READER: reads what is not in memory any more, on a thread of its own.
using storage_reader_actor = caf::typed_actor<
    // From a leader: the entry with this message and those behind it, up to so many bytes.
    caf::replies_to<atom::read, partition_id, message_offset, std::uint64_t>::with<entry_list>,
    // From a leader: the offset of the first message stamped then or later, or the next offset.
    caf::replies_to<atom::find, partition_id, std::int64_t>::with<message_offset>,
    // From a leader that begins: entries from an index on, up to so many bytes.
    caf::replies_to<atom::replay, partition_id, log_index, std::uint64_t>::with<entry_list>,
    // From an admin session: pin the store, ask the leader for its basis, walk, answer the books.
    caf::replies_to<atom::audit, partition_id, caf::strong_actor_ptr>::with<books_ptr>,
    caf::replies_to<atom::verify, partition_id, message_offset, log_position>::with<verify_result>,
    // From an admin session: a group's dead letters from an offset on; how many at most.
    caf::replies_to<atom::letters, partition_id, std::string, message_offset,
                    std::uint32_t>::with<letter_list>,
    // From a leader that redrives: these dead letters, those that are there, up to so many bytes.
    caf::replies_to<atom::redrive, partition_id, std::string, std::vector<message_offset>,
                    std::uint64_t>::with<letter_list>>;

// ---- Coordinator
// ----------------------------------------------------------------------------------

/// A record of the cluster's facts. Version 0: there is none.
struct versioned_record {
  std::uint64_t version = 0;
  std::string value;
};
using versioned_list = std::vector<std::pair<std::string, versioned_record>>;

/// COORDINATOR: where the cluster's facts are kept.
using coordinator_actor = caf::typed_actor<
    caf::replies_to<atom::get, std::string>::with<versioned_record>,
    // Compare-and-set: writes only over the version named (0: only if there is none; an empty value
    // removes). Answers the record as it is afterwards: the caller compares versions and values.
    caf::replies_to<atom::put, std::string, std::uint64_t, std::string>::with<versioned_record>,
    // All records whose key begins so.
    caf::replies_to<atom::list, std::string>::with<versioned_list>>;

// ---- Partition leader
// -----------------------------------------------------------------------------

struct publish_request {
  std::uint64_t question = 0; ///< comes back in the answer
  std::string producer;
  producer_epoch opened;
  batch_number number, previous;
  hash128 hash;               ///< of the batch's bytes
  std::uint32_t messages = 0; ///< in the batch: it was checked
  std::uint32_t timed = 0;    ///< of them, those with a time
  shared_bytes body;          ///< encoded publish_body
  /// An interceptor has refused it: it is taken for a repeat alone.
  failure refused{ec::none, {}};
};
struct publish_outcome {
  std::uint64_t question = 0;
  failure why{ec::none, {}}; ///< `none`: committed
  message_offset first;
  log_position entry;
  bool repeated = false;
};
using publish_outcomes = std::vector<publish_outcome>;

/// Where a leader's answers to publishes go: a producer session.
using publisher_actor = caf::typed_actor<caf::reacts_to<atom::published, publish_outcomes>>;

struct opened_here {
  producer_epoch opened;
  last_batch last;
};

struct join_request {
  std::string group;
  consumer_id consumer;
  std::string name;
  std::uint32_t credit_messages = 0;
  std::uint64_t credit_bytes = 0;
};

enum class settle_kind : std::uint8_t { ack, nack, extend, give_back };
struct settle_request {
  std::uint64_t question = 0;
  consumer_id consumer;
  settle_kind kind = settle_kind::ack;
  std::vector<offset_range> ranges;   ///< one message for a nack
  std::optional<milliseconds> span{}; ///< nack: its delay; extend: the lease
  std::string reason{};
};
struct settle_outcome {
  std::uint64_t question = 0;
  failure why{ec::none, {}};
  std::vector<offset_range> lost;
};
using settle_outcomes = std::vector<settle_outcome>;

/// Messages of one entry on their way to one consumer.
struct chunk {
  std::uint32_t partition = 0;
  shared_bytes batch; ///< a serialised Batch; perhaps compressed, for who accepts that
  wall_time published{};
  struct message {
    message_offset offset;
    std::uint32_t position = 0; ///< in `batch`
    std::uint32_t attempt = 1;
    std::uint32_t bytes = 0; ///< as counted against credit
  };
  std::vector<message> messages;
};
using chunks = std::vector<chunk>;

/// Where a leader's deliveries go: a consumer session.
using receiver_actor =
    caf::typed_actor<caf::reacts_to<atom::deliver, chunks>,
                     caf::reacts_to<atom::settled, settle_outcomes>,
                     // The leader ended the subscription (its group was removed).
                     caf::reacts_to<atom::ended, std::uint32_t, caf::error>>;

struct partition_view {
  std::uint32_t number = 0;
  std::string state;  ///< "leading", "recovering", "offline"
  std::string detail; ///< offline: why
  epoch leading;
  message_offset first, next;
  log_position commit;
  std::uint64_t held = 0; ///< messages still in the log
  std::vector<group_view> groups;
};
/// Where a group goes on reading.
struct seek_target {
  enum class kind : std::uint8_t { earliest, latest, offset, time };
  kind where = kind::earliest;
  message_offset offset; ///< for `offset`
  wall_time at{};        ///< for `time`: the first message stamped so or later
};
struct seek_result {
  message_offset offset;
  std::uint64_t skipped = 0, reopened = 0; ///< messages
};
struct redrive_result {
  std::vector<message_offset> removed;
  std::vector<message_offset> offsets; ///< the new ones, in the same order; empty for a purge
  /// Of a transfer: the target's partitions that these offsets are in.
  std::vector<std::uint32_t> partitions{};
  /// Dead letters that stay ones, and why.
  std::vector<std::pair<message_offset, failure>> left{};
};
/// Where dead letters are to go; without a partition each by its key, as a publish does.
struct transfer_wish {
  std::string topic;
  std::optional<std::uint32_t> partition;
};
/// A dead letter on its way, for people.
struct letter_transfer {
  std::string to;                   ///< `topic/partition`
  std::optional<std::string> doubt; ///< why nobody knows whether it arrived
};
using letter_transfers = std::map<message_offset, letter_transfer>;
using transfers_ptr = std::shared_ptr<const letter_transfers>;
/// What became of a transfer's batch: arrived there, or never will, or nobody knows.
struct carried {
  transfer_step next = transfer_step::doubt; ///< not `repeat`
  failure why{ec::none, {}};
  message_offset first;
  log_position entry;
};

/// What a group's policy should become; absent: as it is, or the default of a new group.
struct policy_update {
  std::optional<milliseconds> lease, delay, delay_max;
  std::optional<std::uint32_t> attempts_max;
  std::optional<double> factor, jitter;
  std::optional<bool> ordered;
};

/// What a topic's retention should become; absent: as it is, or off.
struct retention_update {
  std::optional<milliseconds> keep, age;
  std::optional<std::uint64_t> bytes;
};

/// PARTITION LEADER: leads one partition in one epoch, then ends.
using partition_leader_actor = caf::typed_actor<
    // From a producer session; answered by `published` once committed, or refused.
    caf::reacts_to<atom::publish, publisher_actor, publish_request>,
    // From a producer session: open this producer (instance; 1: take over). Answers once committed.
    caf::replies_to<atom::open, std::string, std::uint64_t, bool>::with<opened_here>,
    // From a consumer session; the group is created if it does not exist. Answers the group's
    // lease.
    caf::replies_to<atom::join, receiver_actor, join_request>::with<milliseconds>,
    // From a consumer session: answers once what it gave back is free (`closed`), or counted.
    caf::replies_to<atom::leave, consumer_id, leaving>::with<done>,
    // From a consumer session: its credit here. Answers once no more than that will be out.
    caf::replies_to<atom::credit, consumer_id, std::uint32_t, std::uint64_t>::with<done>,
    // From a consumer session; answered by `settled`.
    caf::reacts_to<atom::settle, settle_request>,
    // From an admin session: create or change a group. Answers once committed.
    caf::replies_to<atom::group, std::string, policy_update>::with<done>,
    caf::replies_to<atom::remove, std::string>::with<done>,
    // From an admin session: from there on the group reads. Answers once committed.
    caf::replies_to<atom::seek, std::string, seek_target>::with<seek_result>,
    caf::replies_to<atom::describe>::with<partition_view>,
    // From an admin session: somebody has looked at the dead letters of this group.
    caf::reacts_to<atom::looked, std::string>,
    // Dead letters back to their group, or gone for good. Answers once committed.
    caf::replies_to<atom::redrive, std::string, std::vector<message_offset>>::with<redrive_result>,
    caf::replies_to<atom::purge, std::string, std::vector<message_offset>>::with<redrive_result>,
    // Dead letters to another partition. Answers when it is known what became of each.
    caf::replies_to<atom::transfer, std::string, std::vector<message_offset>,
                    transfer_wish>::with<redrive_result>,
    // The transfers that these are in are given up: all of their dead letters, the ones answered,
    // are ordinary ones again, whether they arrived or not. Answers once committed.
    caf::replies_to<atom::release, std::string, std::vector<message_offset>>::with<redrive_result>,
    // From an admin session: the group's dead letters that are on their way.
    caf::replies_to<atom::transfers, std::string>::with<transfers_ptr>,
    // From its courier: what became of the transfer that this entry began.
    caf::reacts_to<atom::carried, log_index, carried>,
    // From the storage reader that audits.
    caf::replies_to<atom::basis>::with<basis_ptr>,
    // From the partition supervisor: the topic's settings are others now.
    caf::reacts_to<atom::retain, retention_settings>,
    // To itself: leases, delays, checkpoints.
    caf::reacts_to<atom::tick>,
    // From the partition supervisor: settle what is in flight, write a checkpoint, end.
    caf::replies_to<atom::stop>::with<done>>;

/// COURIER: sends one transfer's batch to its target until it is known what became of it, tells its
/// leader, and ends; or ends with its leader.
using courier_actor = publisher_actor::extend<
    // To itself: go on where something was missing.
    caf::reacts_to<atom::tick>>;

// ---- Partition supervisor
// ---------------------------------------------------------------------------

struct topic_view {
  std::string name;
  topic_id id;
  wall_time created{};
  retention_settings retention;
  struct place {
    partition_leader_actor leader; ///< none: `why` says why
    failure why{ec::none, {}};
    /// Its copy cannot be served until somebody has acted and the node was started again.
    bool out_of_service = false;
  };
  std::vector<place> partitions;
};
using topic_ptr = std::shared_ptr<const topic_view>;
using topic_list = std::vector<topic_ptr>;

/// PARTITION SUPERVISOR: topics, and the leaders of their partitions.
using partition_supervisor_actor = caf::typed_actor<
    // From sessions: a topic and its leaders as they are now. `unknown_topic`.
    caf::replies_to<atom::resolve, std::string>::with<topic_ptr>,
    caf::replies_to<atom::list>::with<topic_list>,
    // Answers when every partition leads.
    caf::replies_to<atom::create, std::string, std::uint32_t, retention_update>::with<done>,
    caf::replies_to<atom::retain, std::string, retention_update>::with<done>,
    caf::replies_to<atom::remove, std::string>::with<done>,
    // From a leader: it leads now, in this epoch.
    caf::reacts_to<atom::stored, partition_id, epoch>,
    // To itself: begin this partition (again).
    caf::reacts_to<atom::open, partition_id>,
    // From the node supervisor: answers when every partition leads or is offline for good.
    caf::replies_to<atom::open>::with<done>, caf::replies_to<atom::stop>::with<done>>;

// ---- Sessions, and the connection that they serve
// -----------------------------------------------------

using call_id = tagged<struct call_tag>; ///< one call on one connection; its maker's number
using subscription_id = tagged<struct subscription_tag>; ///< one subscription on one connection

/// PRODUCER SESSION: one open producer of one client.
using producer_session_actor = publisher_actor::extend<
    // From the connection. `call`, partition, number, previous, the batch.
    caf::reacts_to<atom::publish, call_id, std::uint32_t, batch_number, batch_number, shared_bytes>,
    caf::reacts_to<atom::close, call_id>, caf::reacts_to<atom::vanished>,
    caf::reacts_to<atom::tick>>;

/// CONSUMER SESSION: one subscription of one client.
using consumer_session_actor = receiver_actor::extend<
    // From the connection: partition, and what to do; `question` is unused here.
    caf::reacts_to<atom::settle, call_id, std::uint32_t, settle_request>,
    caf::reacts_to<atom::credit, call_id, std::uint32_t, std::uint64_t>,
    caf::reacts_to<atom::close, call_id>, caf::reacts_to<atom::vanished>,
    caf::reacts_to<atom::tick>>;

struct create_topic_call {
  std::string name;
  std::uint32_t partitions = 1;
  retention_update retention;
};
struct set_topic_call {
  std::string name;
  retention_update retention;
};
struct list_topics_call {};
struct describe_topic_call {
  std::string name;
};
struct delete_topic_call {
  std::string name;
};
struct list_groups_call {
  std::string topic;
};
struct set_group_call {
  std::string topic, group;
  policy_update change;
};
struct delete_group_call {
  std::string topic, group;
};
struct seek_group_call {
  std::string topic, group;
  std::uint32_t partition = 0;
  seek_target target;
};
struct list_letters_call {
  std::string topic, group;
  std::uint32_t partition = 0;
  message_offset from;
  std::uint32_t most = 0;
};
enum class letters_action : std::uint8_t { redrive, purge, transfer, release };
struct redrive_call {
  std::string topic, group;
  std::uint32_t partition = 0;
  std::vector<message_offset> offsets;
  letters_action what = letters_action::redrive;
  transfer_wish to{}; ///< for a transfer
};
struct audit_call {
  std::string topic;
  std::uint32_t partition = 0;
};
struct verify_call {
  std::string topic;
  std::uint32_t partition = 0;
  message_offset offset;
  log_position entry;
};
struct list_alarms_call {
  wall_time started{};     ///< of the process that `after` is a number of
  std::uint64_t after = 0; ///< known already
  milliseconds patience{}; ///< for news; none: all at once
};
struct node_stats_call {
  bool reset_memory_peak = false; ///< once the answer is made
};
using admin_call =
    std::variant<create_topic_call, set_topic_call, list_topics_call, describe_topic_call,
                 delete_topic_call, list_groups_call, set_group_call, delete_group_call,
                 seek_group_call, list_letters_call, redrive_call, audit_call, verify_call,
                 list_alarms_call, node_stats_call>;

/// ADMIN SESSION: what one connection asks beside publishing and consuming.
using admin_session_actor = caf::typed_actor<caf::reacts_to<atom::admin, call_id, admin_call>,
                                             caf::reacts_to<atom::vanished>>;

struct opened_producer {
  producer_session_actor session;
  struct place {
    last_batch last;
    failure why{ec::none, {}}; ///< else: out of service, and `last` is not known
  };
  std::vector<place> partitions;
};
struct subscribed {
  consumer_session_actor session;
  milliseconds lease{};
  std::uint32_t partitions = 0;
};
struct logged_in {
  admin_session_actor session;
};
struct topic_details {
  std::string name;
  topic_id id;
  wall_time created{};
  retention_settings retention;
  std::vector<partition_view> partitions;
};
struct group_details {
  std::string name;
  group_policy policy;
  struct part {
    std::uint32_t partition = 0;
    group_view view;
  };
  std::vector<part> partitions;
};
struct letters_page {
  letter_list letters;
  message_offset next;
  bool more = false;
  transfers_ptr transfers{}; ///< none: not known, nobody leads the partition
};
/// What the node's process has used since it started, and what its store has done.
struct node_figures {
  process_figures used;
  wall_time started{};
  std::uint64_t syncs = 0; ///< `fdatasync` and `fsync`, of all files and directories
};
struct alarms_answer {
  wall_time started{}; ///< the node's process: numbers of news are its
  alarm_news_ptr news;
};
using figures_ptr = std::shared_ptr<const node_figures>; ///< large, and rarely asked for
using client_answer =
    std::variant<failure, done, logged_in, opened_producer, publish_outcome, subscribed,
                 settle_outcome, std::vector<topic_details>, std::vector<group_details>,
                 letters_page, redrive_result, seek_result, books_ptr, verify_result, alarms_answer,
                 figures_ptr>;

/// A client's connection, as sessions see it. Implemented in net/rpc; every call from any thread;
/// none blocks; after the connection is gone they do nothing.
class client_port {
public:
  virtual ~client_port() = default;
  /// Exactly one answer to each call.
  virtual void answer(call_id call, client_answer what) = 0;
  virtual void deliver(subscription_id to, chunks what) = 0;
  /// What was delivered of this partition, and not settled, is leased no longer.
  virtual void leases_ended(subscription_id to, std::uint32_t partition) = 0;
  /// The session behind a producer, a subscription or the login itself has failed or was ended: all
  /// of its calls that wait are answered with this, and so are later ones.
  virtual void session_ended(caf::actor_addr session, failure why) = 0;
};
using port_ptr = std::shared_ptr<client_port>;

struct open_producer_call {
  std::string topic, name;
  std::uint64_t instance = 0;
  bool take_over = false;
};
struct subscribe_call {
  subscription_id subscription; ///< chosen by the connection
  std::string topic, group, consumer;
  std::uint32_t credit_messages = 0;
  std::uint64_t credit_bytes = 0;
  bool accepts_compressed = false; ///< else the node decompresses for it
};

/// SESSION SUPERVISOR: spawns and watches sessions; the way in for connections.
using session_supervisor_actor = caf::typed_actor<
    // Each answers the port: `logged_in`, `opened_producer`, `subscribed`, or a failure.
    caf::reacts_to<atom::login, port_ptr, call_id>,
    caf::reacts_to<atom::open, port_ptr, call_id, open_producer_call>,
    caf::reacts_to<atom::subscribe, port_ptr, call_id, subscribe_call>,
    // To itself: it has been stopping for long enough.
    caf::reacts_to<atom::tick>,
    // No new sessions; the open ones end: subscriptions give back, producers answer `stopping`.
    caf::replies_to<atom::stop>::with<done>>;

// ---- Node
// -------------------------------------------------------------------------------------------

/// ALARM DESK: collects alarms and hands them to sinks; the same alarm twice is told once.
using alarm_desk_actor = caf::typed_actor<
    caf::reacts_to<atom::alarm, alarm_report>,
    // The alarms that are raised now.
    caf::replies_to<atom::list>::with<std::vector<alarm_report>>,
    // From an admin session: the news behind this number. Where there is none it is waited for, so
    // long at the most. `overloaded`: too many wait.
    caf::replies_to<atom::follow, std::uint64_t, milliseconds>::with<alarm_news_ptr>,
    // To itself: what is over by time.
    caf::reacts_to<atom::tick>>;

/// NODE SUPERVISOR: the root. Starts everything in order, restarts what fails, stops in order.
using node_supervisor_actor = caf::typed_actor<
    // Answers when every topic's partitions have been started.
    caf::replies_to<atom::open>::with<done>,
    // To itself: start this child again, by its role.
    caf::reacts_to<atom::create, caf::atom_value>,
    // Answers when everything has ended cleanly.
    caf::replies_to<atom::stop>::with<done>>;

} // namespace waybill

#define WAYBILL_LOCAL_MESSAGE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(type)
WAYBILL_LOCAL_MESSAGE(waybill::done)
WAYBILL_LOCAL_MESSAGE(waybill::entries)
WAYBILL_LOCAL_MESSAGE(waybill::record_list)
WAYBILL_LOCAL_MESSAGE(waybill::checkpoint_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::letter_changes)
WAYBILL_LOCAL_MESSAGE(waybill::entry_list)
WAYBILL_LOCAL_MESSAGE(waybill::books_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::basis_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::letter_list)
WAYBILL_LOCAL_MESSAGE(waybill::recovered_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::verify_result)
WAYBILL_LOCAL_MESSAGE(waybill::versioned_record)
WAYBILL_LOCAL_MESSAGE(waybill::versioned_list)
WAYBILL_LOCAL_MESSAGE(waybill::publish_request)
WAYBILL_LOCAL_MESSAGE(waybill::publish_outcomes)
WAYBILL_LOCAL_MESSAGE(waybill::opened_here)
WAYBILL_LOCAL_MESSAGE(waybill::join_request)
WAYBILL_LOCAL_MESSAGE(waybill::leaving)
WAYBILL_LOCAL_MESSAGE(waybill::settle_request)
WAYBILL_LOCAL_MESSAGE(waybill::settle_outcomes)
WAYBILL_LOCAL_MESSAGE(waybill::chunks)
WAYBILL_LOCAL_MESSAGE(waybill::partition_view)
WAYBILL_LOCAL_MESSAGE(waybill::redrive_result)
WAYBILL_LOCAL_MESSAGE(waybill::transfer_wish)
WAYBILL_LOCAL_MESSAGE(waybill::transfers_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::carried)
WAYBILL_LOCAL_MESSAGE(waybill::seek_target)
WAYBILL_LOCAL_MESSAGE(waybill::seek_result)
WAYBILL_LOCAL_MESSAGE(waybill::policy_update)
WAYBILL_LOCAL_MESSAGE(waybill::retention_settings)
WAYBILL_LOCAL_MESSAGE(waybill::retention_update)
WAYBILL_LOCAL_MESSAGE(std::vector<waybill::message_offset>)
WAYBILL_LOCAL_MESSAGE(waybill::topic_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::topic_list)
WAYBILL_LOCAL_MESSAGE(waybill::shared_bytes)
WAYBILL_LOCAL_MESSAGE(waybill::admin_call)
WAYBILL_LOCAL_MESSAGE(waybill::port_ptr)
WAYBILL_LOCAL_MESSAGE(waybill::open_producer_call)
WAYBILL_LOCAL_MESSAGE(waybill::subscribe_call)
WAYBILL_LOCAL_MESSAGE(waybill::alarm_report)
WAYBILL_LOCAL_MESSAGE(std::vector<waybill::alarm_report>)
WAYBILL_LOCAL_MESSAGE(waybill::alarm_news_ptr)
#undef WAYBILL_LOCAL_MESSAGE

CAF_ERROR_CODE_ENUM(waybill::ec, "waybill")
