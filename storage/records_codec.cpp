// The records and the checkpoint of a partition, field by field, to Cap'n Proto and back. What was
// read is checked for what its type promises: an enum's number, a range's order, a span's size.
#include "storage/records_codec.hpp"

#include "storage/records_leaves.hpp"
#include "storage/transfer_codec.hpp"

#include <cmath>
#include <limits>

namespace waybill {
namespace {

using detail::bad_content;
using detail::bytes_of;
using detail::data_of;
using detail::flat_message;
using detail::flatten;
using detail::name_of;
using detail::put;
using detail::put_offsets;
using detail::read_flat;
using detail::stamp_of;
using detail::string_of;
using detail::take;
using detail::take_offsets;
using detail::text_of;
using detail::time_of;

// ---- Leaves -------------------------------------------------------------------------------------

std::uint64_t span_of(milliseconds m) { return static_cast<std::uint64_t>(m.count()); }
double finite(double x) {
  if (!std::isfinite(x))
    throw bad_content{"a factor is not a number"};
  return x;
}

failed_because why_of(std::uint8_t number) {
  if (number < 1 || number > 5)
    throw bad_content{"why number " + std::to_string(number) + " is not known here"};
  return static_cast<failed_because>(number);
}

group_action action_of(std::uint8_t number) {
  if (number < 1 || number > 4)
    throw bad_content{"group action number " + std::to_string(number) + " is not known here"};
  return static_cast<group_action>(number);
}

void put(format::Mark::Builder out, const retention_mark& m) {
  out.setOffset(m.offset.value);
  out.setBytesBefore(m.bytes_before);
  out.setStampedBefore(stamp_of(m.stamped_before));
}
retention_mark take(format::Mark::Reader in) {
  return {message_offset{in.getOffset()}, in.getBytesBefore(), time_of(in.getStampedBefore())};
}

milliseconds milliseconds_of(std::uint64_t span) {
  if (span > static_cast<std::uint64_t>(std::numeric_limits<milliseconds::rep>::max()))
    throw bad_content{"a span of time is too long"};
  return milliseconds{static_cast<milliseconds::rep>(span)};
}

// ---- Lists --------------------------------------------------------------------------------------

// What lists hold; declared here, for a template finds only what stands before it.
using attempts_item = std::pair<const message_offset, attempts_state>;
using held_item = std::pair<const message_offset, wall_time>;
using timed_item = timed_messages::value_type;
void put(format::AttemptStarted::Builder out, const attempt_started& a);
void put(format::AttemptFailed::Builder out, const attempt_failed& a);
void put(format::DeadLetter::Builder out, const dead_letter& d);
void put(format::GroupChanges::Builder out, const group_changes& g);
void put(format::RememberedBatch::Builder out, const remembered_batch& b);
void put(format::ProducerState::Builder out, const producer_snapshot& p);
void put(format::AttemptsState::Builder out, const attempts_item& item);
void put(format::DeadLetterHeld::Builder out, const held_item& item);
void put(format::GroupState::Builder out, const group_snapshot& g);
void put(format::AddressedRange::Builder out, const addressed_range& a);
void put(format::TimedMessage::Builder out, const timed_item& item);
attempt_started take(format::AttemptStarted::Reader in);
attempt_failed take(format::AttemptFailed::Reader in);
dead_letter take(format::DeadLetter::Reader in);
group_changes take(format::GroupChanges::Reader in);
remembered_batch take(format::RememberedBatch::Reader in);
producer_snapshot take(format::ProducerState::Reader in);
attempts_item take(format::AttemptsState::Reader in);
held_item take(format::DeadLetterHeld::Reader in);
group_snapshot take(format::GroupState::Reader in);
addressed_range take(format::AddressedRange::Reader in);
timed_item take(format::TimedMessage::Reader in);

/// Puts each element into a list that `init(size)` makes.
template <class Init, class Items>
void put_list(Init init, const Items& items) {
  if (items.empty())
    return;
  auto list = init(static_cast<unsigned>(items.size()));
  unsigned i = 0;
  for (const auto& item : items)
    put(list[i++], item);
}

template <class T, class List>
std::vector<T> take_list(List list) {
  std::vector<T> items;
  items.reserve(list.size());
  for (const auto item : list)
    items.push_back(take(item));
  return items;
}

// ---- Changes of delivery state ------------------------------------------------------------------

void put(format::AttemptStarted::Builder out, const attempt_started& a) {
  out.setOffset(a.offset.value);
  out.setAttempt(a.attempt);
}
attempt_started take(format::AttemptStarted::Reader in) {
  return {message_offset{in.getOffset()}, in.getAttempt()};
}

void put(format::AttemptFailed::Builder out, const attempt_failed& a) {
  out.setOffset(a.offset.value);
  out.setAttempt(a.attempt);
  out.setWhy(static_cast<std::uint8_t>(a.why));
  out.setReason(text_of(a.reason));
  out.setConsumer(text_of(a.consumer));
  out.setFirstDelivered(stamp_of(a.first_delivered));
  out.setNotBefore(stamp_of(a.not_before));
}
attempt_failed take(format::AttemptFailed::Reader in) {
  return {.offset = message_offset{in.getOffset()},
          .attempt = in.getAttempt(),
          .why = why_of(in.getWhy()),
          .reason = string_of(in.getReason()),
          .consumer = string_of(in.getConsumer()),
          .first_delivered = time_of(in.getFirstDelivered()),
          .not_before = time_of(in.getNotBefore())};
}

void put(format::DeadLetter::Builder out, const dead_letter& d) {
  out.setOffset(d.offset.value);
  out.setAttempts(d.attempts);
  out.setWhy(static_cast<std::uint8_t>(d.why));
  out.setReason(text_of(d.reason));
  out.setConsumer(text_of(d.consumer));
  out.setFirstDelivered(stamp_of(d.first_delivered));
  out.setPublished(stamp_of(d.published));
  out.setDied(stamp_of(d.died));
  out.setMessage(data_of(d.message));
}
dead_letter take(format::DeadLetter::Reader in) {
  return {.offset = message_offset{in.getOffset()},
          .attempts = in.getAttempts(),
          .why = why_of(in.getWhy()),
          .reason = string_of(in.getReason()),
          .consumer = string_of(in.getConsumer()),
          .first_delivered = time_of(in.getFirstDelivered()),
          .published = time_of(in.getPublished()),
          .died = time_of(in.getDied()),
          .message = bytes_of(in.getMessage())};
}

void put(format::GroupChanges::Builder out, const group_changes& g) {
  out.setGroup(text_of(g.group));
  put_list([&](unsigned n) { return out.initAcked(n); }, g.acked);
  put_list([&](unsigned n) { return out.initStarted(n); }, g.started);
  put_list([&](unsigned n) { return out.initFailed(n); }, g.failed);
  put_list([&](unsigned n) { return out.initDead(n); }, g.dead);
}
group_changes take(format::GroupChanges::Reader in) {
  return {.group = name_of(in.getGroup()),
          .acked = take_list<offset_range>(in.getAcked()),
          .started = take_list<attempt_started>(in.getStarted()),
          .failed = take_list<attempt_failed>(in.getFailed()),
          .dead = take_list<dead_letter>(in.getDead())};
}

void put(format::Policy::Builder out, const group_policy& p) {
  out.setLeaseMs(span_of(p.lease));
  out.setAttemptsMax(p.attempts_max);
  out.setDelayMs(span_of(p.delay));
  out.setFactor(p.factor);
  out.setDelayMaxMs(span_of(p.delay_max));
  out.setJitter(p.jitter);
  out.setOrdered(p.ordered);
}
group_policy take(format::Policy::Reader in) {
  return {.lease = milliseconds_of(in.getLeaseMs()),
          .attempts_max = in.getAttemptsMax(),
          .delay = milliseconds_of(in.getDelayMs()),
          .factor = finite(in.getFactor()),
          .delay_max = milliseconds_of(in.getDelayMaxMs()),
          .jitter = finite(in.getJitter()),
          .ordered = in.getOrdered()};
}

// ---- The checkpoint -----------------------------------------------------------------------------

void put(format::RememberedBatch::Builder out, const remembered_batch& b) {
  out.setNumber(b.number.value);
  out.setHashHigh(b.hash.high);
  out.setHashLow(b.hash.low);
  put(out.initEntry(), b.entry);
  out.setFirstOffset(b.first_offset.value);
  out.setMessageCount(b.message_count);
}
remembered_batch take(format::RememberedBatch::Reader in) {
  return {.number = batch_number{in.getNumber()},
          .hash = {in.getHashHigh(), in.getHashLow()},
          .entry = take(in.getEntry()),
          .first_offset = message_offset{in.getFirstOffset()},
          .message_count = in.getMessageCount()};
}

void put(format::ProducerState::Builder out, const producer_snapshot& p) {
  out.setProducer(text_of(p.producer));
  out.setOpened(p.opened.value);
  out.setInstance(p.instance);
  out.setLastUsed(stamp_of(p.last_used));
  out.setLast(p.last.value);
  put_list([&](unsigned n) { return out.initBatches(n); }, p.batches);
}
producer_snapshot take(format::ProducerState::Reader in) {
  return {.producer = name_of(in.getProducer()),
          .opened = producer_epoch{in.getOpened()},
          .instance = in.getInstance(),
          .last_used = time_of(in.getLastUsed()),
          .last = batch_number{in.getLast()},
          .batches = take_list<remembered_batch>(in.getBatches())};
}

void put(format::AttemptsState::Builder out, const attempts_item& item) {
  const auto& [offset, a] = item;
  out.setOffset(offset.value);
  out.setFailed(a.failed);
  out.setStarted(a.started);
  out.setWhy(static_cast<std::uint8_t>(a.why));
  out.setReason(text_of(a.reason));
  out.setConsumer(text_of(a.consumer));
  out.setFirstDelivered(stamp_of(a.first_delivered));
  out.setNotBefore(stamp_of(a.not_before));
}
attempts_item take(format::AttemptsState::Reader in) {
  return {message_offset{in.getOffset()},
          {.failed = in.getFailed(),
           .started = in.getStarted(),
           .why = why_of(in.getWhy()),
           .reason = string_of(in.getReason()),
           .consumer = string_of(in.getConsumer()),
           .first_delivered = time_of(in.getFirstDelivered()),
           .not_before = time_of(in.getNotBefore())}};
}

void put(format::DeadLetterHeld::Builder out, const held_item& item) {
  out.setOffset(item.first.value);
  out.setDied(stamp_of(item.second));
}
held_item take(format::DeadLetterHeld::Reader in) {
  return {message_offset{in.getOffset()}, time_of(in.getDied())};
}

/// A map from a list that is in the order of its keys, each once.
template <class Map, class List>
Map take_map(List list) {
  Map items;
  for (const auto element : list) {
    auto item = take(element);
    if (!items.empty() && !(items.rbegin()->first < item.first))
      throw bad_content{"offsets in it do not ascend"};
    items.emplace_hint(items.end(), std::move(item));
  }
  return items;
}

void put(format::GroupCounts::Builder out, const group_counts& c) {
  out.setArrived(c.arrived);
  out.setAcked(c.acked);
  out.setDead(c.dead);
  out.setRedriven(c.redriven);
  out.setPurged(c.purged);
  out.setForOthers(c.for_others);
  out.setExpired(c.expired);
  out.setSkipped(c.skipped);
  out.setReopened(c.reopened);
  out.setDroppedUnread(c.dropped_unread);
}
group_counts take(format::GroupCounts::Reader in) {
  return {.arrived = in.getArrived(),
          .acked = in.getAcked(),
          .dead = in.getDead(),
          .redriven = in.getRedriven(),
          .purged = in.getPurged(),
          .for_others = in.getForOthers(),
          .expired = in.getExpired(),
          .skipped = in.getSkipped(),
          .reopened = in.getReopened(),
          .dropped_unread = in.getDroppedUnread()};
}

void put(format::GroupState::Builder out, const group_snapshot& g) {
  out.setGroup(text_of(g.group));
  put(out.initPolicy(), g.policy);
  out.setStart(g.start.value);
  out.setFloor(g.floor.value);
  put_list([&](unsigned n) { return out.initSettled(n); }, g.settled);
  put_list([&](unsigned n) { return out.initAttempts(n); }, g.attempts);
  put_list([&](unsigned n) { return out.initDeadLetters(n); }, g.dead_letters);
  put(out.initCounts(), g.counts);
  put_list([&](unsigned n) { return out.initTransfers(n); }, g.transfers);
}
group_snapshot take(format::GroupState::Reader in) {
  return {.group = name_of(in.getGroup()),
          .policy = take(in.getPolicy()),
          .start = message_offset{in.getStart()},
          .floor = message_offset{in.getFloor()},
          .settled = take_list<offset_range>(in.getSettled()),
          .attempts = take_map<std::map<message_offset, attempts_state>>(in.getAttempts()),
          .dead_letters = take_map<std::map<message_offset, wall_time>>(in.getDeadLetters()),
          .counts = take(in.getCounts()),
          .transfers = take_map<std::map<log_index, transfer_state>>(in.getTransfers())};
}

void put(format::AddressedRange::Builder out, const addressed_range& a) {
  put(out.initOffsets(), a.offsets);
  out.setGroup(text_of(a.group));
}
addressed_range take(format::AddressedRange::Reader in) {
  return {take(in.getOffsets()), name_of(in.getGroup())};
}

void put(format::TimedMessage::Builder out, const timed_item& item) {
  out.setOffset(item.first.value);
  out.setNotBefore(stamp_of(item.second.not_before));
  out.setExpires(stamp_of(item.second.expires));
}
timed_item take(format::TimedMessage::Reader in) {
  return {message_offset{in.getOffset()}, {time_of(in.getNotBefore()), time_of(in.getExpires())}};
}

// ---- Roots --------------------------------------------------------------------------------------

void put(format::DeliveryRecord::Builder out, const delivery_record& r) {
  put_list([&](unsigned n) { return out.initGroups(n); }, r.groups);
}
delivery_record take(format::DeliveryRecord::Reader in) {
  return {take_list<group_changes>(in.getGroups())};
}

void put(format::GroupRecord::Builder out, const group_record& r) {
  out.setAction(static_cast<std::uint8_t>(r.action));
  out.setGroup(text_of(r.group));
  put(out.initPolicy(), r.policy);
  out.setStart(r.start.value);
}
group_record take(format::GroupRecord::Reader in) {
  return {.action = action_of(in.getAction()),
          .group = name_of(in.getGroup()),
          .policy = take(in.getPolicy()),
          .start = message_offset{in.getStart()}};
}

void put(format::ProducerRecord::Builder out, const producer_record& r) {
  out.setProducer(text_of(r.producer));
  out.setOpened(r.opened.value);
  out.setInstance(r.instance);
}
producer_record take(format::ProducerRecord::Reader in) {
  return {.producer = name_of(in.getProducer()),
          .opened = producer_epoch{in.getOpened()},
          .instance = in.getInstance()};
}

void put(format::RedriveRecord::Builder out, const redrive_record& r) {
  out.setGroup(text_of(r.group));
  put_offsets(out.initDeadLetters(static_cast<unsigned>(r.dead_letters.size())), r.dead_letters);
  out.setBatch(data_of(r.batch));
}
redrive_record take(format::RedriveRecord::Reader in) {
  return {.group = name_of(in.getGroup()),
          .dead_letters = take_offsets(in.getDeadLetters()),
          .batch = bytes_of(in.getBatch())};
}

/// Of a record or a state: whether it keeps, and from where on.
template <class Builder>
void put_kept(Builder out, const std::optional<message_offset>& kept_from) {
  out.setKeeps(kept_from.has_value());
  out.setKeptFrom(kept_from.value_or(message_offset{}).value);
}
template <class Reader>
std::optional<message_offset> take_kept(Reader in) {
  return in.getKeeps() ? std::optional{message_offset{in.getKeptFrom()}} : std::nullopt;
}

void put(format::RetentionRecord::Builder out, const retention_record& r) {
  out.setDroppedBelow(r.dropped_below.value);
  put_kept(out, r.kept_from);
}
retention_record take(format::RetentionRecord::Reader in) {
  return {.dropped_below = message_offset{in.getDroppedBelow()}, .kept_from = take_kept(in)};
}

void put(format::PartitionState::Builder out, const partition_snapshot& s) {
  put(out.initAt(), s.at);
  out.setNextOffset(s.next_offset.value);
  out.setLastStamp(stamp_of(s.last_stamp));
  out.setConfirmed(s.confirmed);
  put_list([&](unsigned n) { return out.initProducers(n); }, s.producers);
  put_list([&](unsigned n) { return out.initGroups(n); }, s.groups);
  put_list([&](unsigned n) { return out.initAddressed(n); }, s.addressed);
  put_list([&](unsigned n) { return out.initSettledByAll(n); }, s.settled_by_all);
  put_list([&](unsigned n) { return out.initTimed(n); }, s.timed);
  put_kept(out, s.kept_from);
  put(out.initPublished(), s.published);
  put_list([&](unsigned n) { return out.initMarks(n); }, s.marks);
}
partition_snapshot take(format::PartitionState::Reader in) {
  return {.at = take(in.getAt()),
          .next_offset = message_offset{in.getNextOffset()},
          .last_stamp = time_of(in.getLastStamp()),
          .confirmed = in.getConfirmed(),
          .producers = take_list<producer_snapshot>(in.getProducers()),
          .groups = take_list<group_snapshot>(in.getGroups()),
          .addressed = take_list<addressed_range>(in.getAddressed()),
          .settled_by_all = take_list<offset_range>(in.getSettledByAll()),
          .timed = take_map<timed_messages>(in.getTimed()),
          .kept_from = take_kept(in),
          .published = take(in.getPublished()),
          .marks = take_list<retention_mark>(in.getMarks())};
}

template <class Schema, class T>
std::string encode_as(const T& value) {
  capnp::MallocMessageBuilder builder;
  put(builder.initRoot<Schema>(), value);
  return flatten(builder);
}

template <class T, class Schema>
result<T> decode_as(std::string_view bytes, const char* what) {
  return read_flat<T>(bytes, ec::damaged, what,
                      [](flat_message& in) -> result<T> { return take(in.root<Schema>()); });
}

} // namespace

std::string encode(const delivery_record& r) { return encode_as<format::DeliveryRecord>(r); }
std::string encode(const group_record& r) { return encode_as<format::GroupRecord>(r); }
std::string encode(const producer_record& r) { return encode_as<format::ProducerRecord>(r); }
std::string encode(const redrive_record& r) { return encode_as<format::RedriveRecord>(r); }
std::string encode(const retention_record& r) { return encode_as<format::RetentionRecord>(r); }
std::string encode(const partition_snapshot& r) { return encode_as<format::PartitionState>(r); }
std::string encode(const dead_letter& r) { return encode_as<format::DeadLetter>(r); }

result<delivery_record> decode_delivery_record(std::string_view bytes) {
  return decode_as<delivery_record, format::DeliveryRecord>(bytes, "the delivery record");
}
result<group_record> decode_group_record(std::string_view bytes) {
  return decode_as<group_record, format::GroupRecord>(bytes, "the group record");
}
result<producer_record> decode_producer_record(std::string_view bytes) {
  return decode_as<producer_record, format::ProducerRecord>(bytes, "the producer record");
}
result<redrive_record> decode_redrive_record(std::string_view bytes) {
  return decode_as<redrive_record, format::RedriveRecord>(bytes, "the redrive record");
}
result<retention_record> decode_retention_record(std::string_view bytes) {
  return decode_as<retention_record, format::RetentionRecord>(bytes, "the retention record");
}
result<partition_snapshot> decode_partition_snapshot(std::string_view bytes) {
  return decode_as<partition_snapshot, format::PartitionState>(bytes, "the checkpoint");
}
result<dead_letter> decode_dead_letter(std::string_view bytes) {
  return decode_as<dead_letter, format::DeadLetter>(bytes, "the dead letter");
}

} // namespace waybill
