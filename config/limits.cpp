// The page of limits: for every bound its key, unit, range, what it bounds, and what happens at its
// end. Whoever adds a member to a struct of `limits` adds its line here; a test counts them.
#include "config/limits.hpp"

#include "storage/assert.hpp"
#include "storage/compression.hpp"

#include <array>
#include <charconv>
#include <vector>

namespace waybill {

namespace {

constexpr std::uint64_t kib = 1u << 10;
constexpr std::uint64_t mib = 1u << 20;
constexpr std::uint64_t gib = 1u << 30;
constexpr std::uint64_t batch_overhead = 4 * kib; ///< a batch's own fields around one message
constexpr milliseconds second{1'000};
constexpr milliseconds minute{60'000};
constexpr milliseconds hour{3'600'000};
constexpr milliseconds day{24 * 3'600'000};

/// A limit's key is made of the names in the code, so that one finds the other.
template <auto Group, auto Member>
auto& member_of(limits& all) {
  return all.*Group.*Member;
}

template <auto Group, auto Member>
limit_key count(std::string_view key, std::string_view unit, std::uint64_t low, std::uint64_t high,
                std::string_view bounds, std::string_view at_end, limit_alarm alarm) {
  return {key, unit, &member_of<Group, Member>, low, high, bounds, at_end, alarm};
}

template <auto Group, auto Member>
limit_key span(std::string_view key, milliseconds low, milliseconds high, std::string_view bounds,
               std::string_view at_end, limit_alarm alarm) {
  return {key, "milliseconds", &member_of<Group, Member>, low, high, bounds, at_end, alarm};
}

template <auto Group, auto Member>
limit_key factor(std::string_view key, double low, double high, std::string_view bounds,
                 std::string_view at_end, limit_alarm alarm) {
  return {key, "a factor", &member_of<Group, Member>, low, high, bounds, at_end, alarm};
}

using keys = std::vector<limit_key>;
using enum limit_alarm;

void add_net(keys& to) {
  constexpr auto g = &limits::net;
  using m = net_limits;
  to.push_back(
      count<g, &m::message_bytes_max>("net.message-bytes-max", "bytes", kib, 16 * mib,
                                      "What one message may weigh: key, headers and body together.",
                                      "The publish is refused with message_too_large.", answered));
  to.push_back(count<g, &m::batch_bytes_max>(
      "net.batch-bytes-max", "bytes", kib + batch_overhead, batch_bytes_most,
      "What one serialised batch of messages may weigh, as it comes and when "
      "it is decompressed.",
      "The publish is refused with batch_too_large.", answered));
  to.push_back(count<g, &m::batch_messages_max>(
      "net.batch-messages-max", "messages", 1, 1'000'000, "How many messages one batch may carry.",
      "The publish is refused with limit_reached.", answered));
  to.push_back(count<g, &m::connections_max>(
      "net.connections-max", "connections", 1, 1'000'000,
      "How many clients may be connected at the same time.",
      "A further connection is closed at once; those that exist go on.", near));
  to.push_back(count<g, &m::sessions_max>(
      "net.sessions-max", "sessions", 1, 1'000'000,
      "How many producers and subscriptions one connection may have open.",
      "Opening a further one is refused with limit_reached.", answered));
  to.push_back(count<g, &m::in_flight_max>(
      "net.in-flight-max", "batches", 1, 1'000'000,
      "How many publishes of one producer may wait for their receipts.",
      "A further publish is refused with overloaded and may be repeated.", answered));
  to.push_back(count<g, &m::connection_bytes_max>(
      "net.connection-bytes-max", "bytes", kib + batch_overhead, 64 * gib,
      "What the unanswered calls of one connection may weigh together.",
      "The node reads no more from that connection until answers have gone out.", answered));
  to.push_back(span<g, &m::login_timeout>("net.login-timeout", milliseconds{100}, 10 * minute,
                                          "How long a new connection may take to log in.",
                                          "The connection is closed; nothing was accepted from it.",
                                          answered));
}

void add_storage_sizes(keys& to) {
  constexpr auto g = &limits::storage;
  using m = storage_limits;
  to.push_back(count<g, &m::generation_bytes>(
      "storage.generation-bytes", "bytes", 64 * kib, 64 * gib,
      "How large one generation of the journal grows.",
      "The generation is sealed and the next one takes over.", none));
  to.push_back(count<g, &m::generation_entries>(
      "storage.generation-entries", "entries", 16, 100'000'000,
      "How many entries one generation of the journal holds.",
      "The generation is sealed and the next one takes over.", none));
  to.push_back(count<g, &m::write_buffer_bytes>("storage.write-buffer-bytes", "bytes", 64 * kib,
                                                gib,
                                                "LevelDB's write buffer, for each open generation.",
                                                "LevelDB writes the buffer out as a table.", none));
  to.push_back(count<g, &m::block_cache_bytes>(
      "storage.block-cache-bytes", "bytes", 64 * kib, 64 * gib,
      "LevelDB's cache of blocks, for all generations together.",
      "The block used longest ago leaves the cache and is read again when needed.", none));
  to.push_back(count<g, &m::open_generations_max>(
      "storage.open-generations-max", "generations", 1, 10'000,
      "How many sealed generations are kept open for reading.",
      "The one used longest ago is closed and opened again when needed.", none));
  to.push_back(count<g, &m::tables_bytes_max>(
      "storage.tables-bytes-max", "bytes", 64 * kib, 64 * gib,
      "The tables of contents of sealed generations kept in memory.",
      "The table used longest ago leaves memory and is read again when needed.", none));
}

void add_storage_flow(keys& to) {
  constexpr auto g = &limits::storage;
  using m = storage_limits;
  to.push_back(count<g, &m::group_commit_bytes>(
      "storage.group-commit-bytes", "bytes", 4 * kib, gib,
      "How much one synced write gathers; a single larger entry is written alone.",
      "What is left waits for the next synced write.", none));
  to.push_back(count<g, &m::pending_bytes_max>(
      "storage.pending-bytes-max", "bytes", 64 * kib, 64 * gib,
      "What waits in memory to be written, as it came, for all partitions together.",
      "A further publish is refused with overloaded and may be repeated.", near));
  to.push_back(count<g, &m::empty_below_percent>(
      "storage.empty-below-percent", "percent", 0, 90,
      "How little of a sealed generation may still be live before it is emptied.",
      "Its live entries are written again, synced, and then it is destroyed.", none));
  to.push_back(count<g, &m::disk_free_min>(
      "storage.disk-free-min", "bytes", 0, std::uint64_t{1} << 50,
      "How much space must stay free on the disk of the data directory.",
      "Publishing is refused with disk_full, with the alarm disk-full; reading and acknowledging "
      "go on.",
      near));
  to.push_back(count<g, &m::tail_bytes_max>(
      "storage.tail-bytes-max", "bytes", 0, 64 * gib,
      "The newest entries kept in memory, as they came and with 12 bytes for each message, for all "
      "partitions together.",
      "The oldest of them leaves memory and is read from the journal when needed.", none));
  to.push_back(span<g, &m::request_timeout>(
      "storage.request-timeout", second, hour,
      "How long one part of the node waits for another, its storage above all.",
      "The request ends with timed_out and may be repeated; its outcome counts as unknown.",
      answered));
}

void add_delivery_policy(keys& to) {
  constexpr auto g = &limits::delivery;
  using m = delivery_limits;
  to.push_back(span<g, &m::lease>(
      "delivery.lease", milliseconds{100}, 30 * day,
      "How long a consumer of a new group may work on a message before it extends its lease.",
      "The lease ends, an attempt is counted, and the message is delivered again by policy.",
      none));
  to.push_back(count<g, &m::attempts_max>(
      "delivery.attempts-max", "attempts", 1, 1'000'000,
      "How often a new group tries to process one message.",
      "The message becomes a dead letter of the group, with the last reason.", none));
  to.push_back(
      span<g, &m::delay>("delivery.delay", milliseconds{0}, day,
                         "How long a new group waits after a message's first failed attempt.",
                         "The message is delivered again.", none));
  to.push_back(factor<g, &m::factor>(
      "delivery.factor", 1.0, 100.0,
      "By how much a new group's delay grows from one failed attempt to the next.",
      "The delay stops growing at the group's longest delay (delivery.delay-max).", none));
  to.push_back(
      span<g, &m::delay_max>("delivery.delay-max", milliseconds{0}, 7 * day,
                             "How long the delay between two attempts of a new group grows.",
                             "The delay stays at this length.", none));
  to.push_back(factor<g, &m::jitter>(
      "delivery.jitter", 0.0, 1.0,
      "Which part of a new group's delay is drawn at random, so that retries spread out.",
      "The delay leaves its computed length by this part of it at the most.", none));
}

void add_delivery_bounds(keys& to) {
  constexpr auto g = &limits::delivery;
  using m = delivery_limits;
  to.push_back(count<g, &m::settled_ranges_max>(
      "delivery.settled-ranges-max", "ranges", 1, 10'000'000,
      "How many separate ranges of settled messages one group keeps in one partition.",
      "The group gets nothing beyond its last settled message until ranges close, with the alarm "
      "group-held-back; acks go on.",
      near));
  to.push_back(count<g, &m::waiting_max>(
      "delivery.waiting-max", "messages", 1, 100'000'000,
      "How many messages with failed attempts wait in one group and partition.",
      "The group gets only those until some are settled, with the alarm group-held-back; acks go "
      "on.",
      near));
  to.push_back(count<g, &m::timed_max>(
      "delivery.timed-max", "messages", 1, 100'000'000,
      "How many messages that came with a time to be delivered at or to expire at, and that some "
      "group may still get, one partition holds.",
      "A further one is refused with overloaded and may be repeated.", near));
  to.push_back(count<g, &m::behind_max>(
      "delivery.behind-max", "messages", 1, 100'000'000,
      "How many messages of one ordered group and partition wait behind an earlier one of their "
      "key.",
      "The group gets nothing beyond them until some are settled, with the alarm group-held-back; "
      "acks go on.",
      near));
  to.push_back(count<g, &m::keys_max>(
      "delivery.keys-max", "keys", 1, 100'000'000,
      "For how many keys without a message an ordered group remembers, in one partition, which "
      "consumer had them.",
      "The key that is idle for the longest is forgotten: its next message may go to another "
      "consumer.",
      none));
  to.push_back(count<g, &m::groups_max>("delivery.groups-max", "groups", 1, 100'000,
                                        "How many groups may read one partition.",
                                        "A further group is refused with limit_reached.", near));
  to.push_back(
      count<g, &m::consumers_max>("delivery.consumers-max", "consumers", 1, 1'000'000,
                                  "How many consumers may share one group in one partition.",
                                  "A further consumer is refused with limit_reached.", near));
  to.push_back(count<g, &m::reason_bytes_max>(
      "delivery.reason-bytes-max", "bytes", 16, 64 * kib,
      "How much of the reason of a nack is kept.",
      "A longer reason is cut, and the cut is marked by an ellipsis.", none));
  to.push_back(count<g, &m::credit_messages_max>(
      "delivery.credit-messages-max", "messages", 1, 10'000'000,
      "How many messages one consumer may ask to hold unsettled at once.",
      "A greater grant is refused with limit_reached.", answered));
  to.push_back(count<g, &m::credit_bytes_max>(
      "delivery.credit-bytes-max", "bytes", kib, 64 * gib,
      "How many bytes of messages, decompressed, one consumer may ask to hold unsettled at once.",
      "A greater grant is refused with limit_reached.", answered));
  to.push_back(span<g, &m::lease_max>(
      "delivery.lease-max", milliseconds{100}, 30 * day,
      "The longest lease of a group, the furthest extension, and the longest delay of a nack.",
      "A longer one is refused with bad_argument.", answered));
}

void add_delivery_alarms(keys& to) {
  constexpr auto g = &limits::delivery;
  using m = delivery_limits;
  to.push_back(span<g, &m::stuck_after>(
      "delivery.stuck-after", milliseconds{0}, 30 * day,
      "How long nothing of a group may be settled in one partition while messages are ready or "
      "with consumers; 0 is for ever.",
      "The alarm group-stuck is raised; nothing else happens.", none));
  to.push_back(count<g, &m::dead_letters_alarm>(
      "delivery.dead-letters-alarm", "dead letters", 0, 100'000'000,
      "How many dead letters a group may get in one partition until somebody looks at them; 0 is "
      "any number.",
      "The alarm dead-letters-growing is raised; nothing else happens.", none));
}

void add_producers(keys& to) {
  constexpr auto g = &limits::producers;
  using m = producer_limits;
  to.push_back(count<g, &m::producers_max>(
      "producers.producers-max", "producers", 1, 10'000'000,
      "How many producers one partition remembers.",
      "The one unused for longest is forgotten; its next publish is answered unknown_producer.",
      near));
  to.push_back(count<g, &m::remembered_batches>(
      "producers.remembered-batches", "batches", 1, 1'000'000,
      "How many of a producer's last batches one partition remembers.",
      "A repeat of an older batch is answered too_old_to_know and never taken as new.", answered));
  to.push_back(span<g, &m::age_max>(
      "producers.age-max", minute, 3'650 * day,
      "How long a producer that publishes nothing is remembered.",
      "The producer is forgotten; its next publish is answered unknown_producer.", answered));
}

void add_partitions(keys& to) {
  constexpr auto g = &limits::partitions;
  using m = partition_limits;
  to.push_back(count<g, &m::topics_max>(
      "partitions.topics-max", "topics", 1, 1'000'000, "How many topics the node may have.",
      "Creating a further topic is refused with limit_reached.", near));
  to.push_back(count<g, &m::partitions_max>(
      "partitions.partitions-max", "partitions", 1, 100'000,
      "How many partitions one topic may have.",
      "Creating a topic with more is refused with limit_reached.", answered));
  to.push_back(count<g, &m::partitions_total_max>(
      "partitions.partitions-total-max", "partitions", 1, 1'000'000,
      "How many partitions the node may hold, of all topics together.",
      "Creating a topic beyond it is refused with limit_reached.", near));
  to.push_back(count<g, &m::waiting_max>(
      "partitions.waiting-max", "requests", 1, 10'000'000,
      "How many requests of one partition may wait to be committed.",
      "A further publish is refused with overloaded and may be repeated.", near));
  to.push_back(count<g, &m::checkpoint_bytes>(
      "partitions.checkpoint-bytes", "bytes", 64 * kib, 16 * gib,
      "How much log a partition writes from one checkpoint to the next.",
      "The partition's state is written as a checkpoint.", none));
  to.push_back(span<g, &m::checkpoint_interval>(
      "partitions.checkpoint-interval", milliseconds{10}, hour,
      "How long a partition that changes goes without a checkpoint.",
      "The partition's state is written as a checkpoint.", none));
  to.push_back(span<g, &m::retention_interval>(
      "partitions.retention-interval", milliseconds{10}, hour,
      "How long a partition goes without a look at what its topic's retention drops or keeps.",
      "It looks; people are told one look at least before what is unread goes.", none));
}

void add_supervision(keys& to) {
  constexpr auto g = &limits::supervision;
  using m = supervision_limits;
  to.push_back(count<g, &m::restarts_max>(
      "supervision.restarts-max", "restarts", 0, 1'000,
      "How often a failed actor is started again within supervision.restarts-within.",
      "The parent fails in its turn; at the top the node stops, and says why.", each));
  to.push_back(span<g, &m::restarts_within>(
      "supervision.restarts-within", milliseconds{100}, day,
      "The span of time in which failures of an actor are counted together.",
      "A failure that lies further back no longer counts.", none));
  to.push_back(count<g, &m::restarts_alarm>(
      "supervision.restarts-alarm", "restarts", 0, 1'000,
      "How often one part may be started again within supervision.restarts-within.",
      "The alarm restarts-often is raised; nothing else happens.", none));
}

void add_extensions(keys& to) {
  constexpr auto g = &limits::extensions;
  using m = extension_limits;
  to.push_back(span<g, &m::interceptor_timeout>(
      "extensions.interceptor-timeout", milliseconds{10}, 10 * minute,
      "How long an interceptor may take for one batch.",
      "The batch is refused with extension_failed and may be repeated, with the alarm "
      "interceptor-late; it never passes unseen.",
      answered));
  to.push_back(span<g, &m::redelivery_timeout>(
      "extensions.redelivery-timeout", milliseconds{10}, 10 * minute,
      "How long a redelivery policy may take for one failed message.",
      "The group's own policy counts, with the alarm policy-late.", none));
  to.push_back(span<g, &m::listener_timeout>(
      "extensions.listener-timeout", milliseconds{10}, hour,
      "How long a listener may take for one alarm or dead letter.",
      "It counts as not told, with the alarm sink-behind, and the next one follows.", none));
  to.push_back(count<g, &m::waiting_max>(
      "extensions.waiting-max", "messages", 1, 1'000'000,
      "How many alarms or dead letters may wait to be told to one listener.",
      "A further one counts as not told, with the alarm sink-behind.", none));
}

keys make_keys() {
  keys all;
  add_net(all);
  add_storage_sizes(all);
  add_storage_flow(all);
  add_delivery_policy(all);
  add_delivery_bounds(all);
  add_delivery_alarms(all);
  add_producers(all);
  add_partitions(all);
  add_supervision(all);
  add_extensions(all);
  return all;
}

/// `key` >= `other` + `extra`, in the values as they are.
struct order_rule {
  std::string_view key;
  std::string_view other;
  std::uint64_t extra;
  std::string_view why;
};

constexpr std::array order_rules{
    order_rule{"net.batch-bytes-max", "net.message-bytes-max", batch_overhead,
               "the largest message must fit into a batch"},
    order_rule{"net.connection-bytes-max", "net.batch-bytes-max", 0,
               "the largest batch must be able to pass"},
    order_rule{"storage.pending-bytes-max", "net.batch-bytes-max", 0,
               "the largest batch must be able to wait"},
    order_rule{"delivery.credit-bytes-max", "net.message-bytes-max", 0,
               "the largest message must be deliverable"},
    order_rule{"delivery.lease-max", "delivery.lease", 0, "a new group's lease must be allowed"},
    order_rule{"delivery.delay-max", "delivery.delay", 0, "delays grow from the one to the other"},
    order_rule{"producers.remembered-batches", "net.in-flight-max", 0,
               "every batch without an answer must be remembered, so that its repeat is known"},
};

} // namespace

limit_value limit_key::read(const limits& from) const {
  limits copy = from; // the accessors hand out references, and `from` is not to be changed
  return std::visit([&copy](auto find) -> limit_value { return find(copy); }, member);
}

void limit_key::write(limits& to, limit_value value) const {
  WAYBILL_ASSERT(value.index() == member.index());
  std::visit(
      [&](auto find) {
        auto& place = find(to);
        place = std::get<std::remove_reference_t<decltype(place)>>(value);
      },
      member);
}

bool limit_key::in_range(const limit_value& value) const {
  return value.index() == low.index() && value >= low && value <= high;
}

std::span<const limit_key> limit_keys() {
  static const keys all = make_keys();
  return all;
}

std::string_view to_text(limit_alarm what) {
  switch (what) {
  case limit_alarm::near:
    return "limit-near, beyond four fifths of it (of a least amount: below five quarters).";
  case limit_alarm::each:
    return "actor-restarted or leader-restarted, at each restart.";
  case limit_alarm::answered:
    return "None: whoever meets it is answered.";
  case limit_alarm::none:
    break;
  }
  return "None: nothing is refused.";
}

const limit_key* find_limit(std::string_view key) {
  for (const auto& each : limit_keys())
    if (each.key == key)
      return &each;
  return nullptr;
}

std::optional<limit_conflict> find_conflict(const limits& values) {
  for (const auto& rule : order_rules) {
    const auto left = find_limit(rule.key)->read(values);
    auto right = find_limit(rule.other)->read(values);
    const auto shown = to_string(right);
    if (auto* count = std::get_if<std::uint64_t>(&right))
      *count += rule.extra;
    if (left >= right)
      continue;
    std::string detail{rule.key};
    detail += " = " + to_string(left) + " and " + std::string{rule.other} + " = " + shown;
    detail += " contradict each other: the first must be at least the second";
    if (rule.extra > 0)
      detail += " + " + std::to_string(rule.extra);
    detail += ", since " + std::string{rule.why} + ".";
    return limit_conflict{rule.key, rule.other, std::move(detail)};
  }
  return std::nullopt;
}

std::string to_string(const limit_value& value) {
  if (const auto* count = std::get_if<std::uint64_t>(&value))
    return std::to_string(*count);
  if (const auto* span = std::get_if<milliseconds>(&value)) {
    if (*span == milliseconds{0})
      return "0ms";
    if (*span % hour == milliseconds{0})
      return std::to_string(*span / hour) + "h";
    if (*span % minute == milliseconds{0})
      return std::to_string(*span / minute) + "min";
    if (*span % second == milliseconds{0})
      return std::to_string(*span / second) + "s";
    return std::to_string(span->count()) + "ms";
  }
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), std::get<double>(value));
  std::string shown{text.data(), end.ptr};
  if (shown.find_first_of(".e") == std::string::npos)
    shown += ".0";
  return shown;
}

} // namespace waybill
