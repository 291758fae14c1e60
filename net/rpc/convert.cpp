#include "net/rpc/convert.hpp"

#include "storage/assert.hpp"

namespace waybill::rpc {

namespace {

kj::StringPtr text(const std::string& from) { return {from.data(), from.size()}; }

capnp::Data::Reader data_of(std::string_view from) {
  return {reinterpret_cast<const kj::byte*>(from.data()), from.size()};
}

std::int64_t millis(wall_time from) { return from.time_since_epoch().count(); }

std::string_view name_of(failed_because why) {
  switch (why) {
  case failed_because::nack:
    return "nack";
  case failed_because::lease_expired:
    return "lease-expired";
  case failed_because::disconnected:
    return "disconnected";
  case failed_because::leader_changed:
    return "leader-changed";
  case failed_because::expired:
    return "expired";
  }
  return "unknown";
}

/// The answer that a call expects, or null after its error was written.
template <class Expected, class Builder>
const Expected* expect(Builder& to, const client_answer& from) {
  if (const auto* found = std::get_if<Expected>(&from))
    return found;
  const auto* why = std::get_if<failure>(&from);
  write(to.initError(), why ? *why : failure{ec::internal, "the node answered another question"});
  return nullptr;
}

void put(wire::Range::Builder to, const offset_range& from) {
  to.setFirst(from.first.value);
  to.setEnd(from.end.value);
}

void put(wire::PartitionInfo::Builder to, const partition_view& from, const std::string& node) {
  to.setNumber(from.number);
  to.setState(text(from.state));
  to.setDetail(text(from.detail));
  to.setLeader(text(node));
  to.setEpoch(from.leading.value);
  to.setFirstOffset(from.first.value);
  to.setNextOffset(from.next.value);
  write(to.initCommit(), from.commit);
  to.setGroups(static_cast<std::uint32_t>(from.groups.size()));
  to.setHeldMessages(from.held);
}

void put(wire::TopicInfo::Builder to, const topic_details& from, const std::string& node) {
  to.setName(text(from.name));
  to.setId(from.id.value);
  to.setCreated(millis(from.created));
  auto retention = to.initRetention();
  retention.setKeepMs(from.retention.keep.count());
  retention.setAgeMs(from.retention.age.count());
  retention.setBytes(static_cast<std::int64_t>(from.retention.bytes));
  auto list = to.initPartitions(static_cast<kj::uint>(from.partitions.size()));
  for (kj::uint i = 0; i < list.size(); ++i)
    put(list[i], from.partitions[i], node);
}

void put(wire::Policy::Builder to, const group_policy& from) {
  to.setLeaseMs(static_cast<std::uint64_t>(from.lease.count()));
  to.setAttemptsMax(from.attempts_max);
  to.setDelayMs(from.delay.count());
  to.setFactor(from.factor);
  to.setDelayMaxMs(from.delay_max.count());
  to.setJitter(from.jitter);
  to.setOrdered(from.ordered ? 1 : 0);
}

void put(wire::GroupPartitionInfo::Builder to, std::uint32_t partition, const group_view& from) {
  to.setPartition(partition);
  to.setStart(from.start.value);
  to.setFloor(from.floor.value);
  to.setReady(from.ready);
  to.setLeased(from.leased);
  to.setDelayed(from.delayed);
  to.setAcked(from.counts.acked);
  to.setDead(from.dead_held);
  to.setConsumers(from.consumers);
  to.setSettledRanges(static_cast<std::uint32_t>(from.settled_ranges));
  to.setBehind(from.behind);
}

void put(wire::DeadLetterInfo::Builder to, std::uint32_t partition, const dead_letter& from,
         bool with_body) {
  to.setPartition(partition);
  to.setOffset(from.offset.value);
  to.setAttempts(from.attempts);
  const auto why = name_of(from.why);
  to.setWhy(kj::StringPtr{why.data(), why.size()});
  to.setReason(text(from.reason));
  to.setConsumer(text(from.consumer));
  to.setFirstDelivered(millis(from.first_delivered));
  to.setPublished(millis(from.published));
  to.setDied(millis(from.died));
  to.setBytes(static_cast<std::uint32_t>(from.message.size()));
  if (with_body)
    to.setMessage(data_of(from.message));
}
void put(wire::DeadLetterInfo::Builder to, const letter_transfer& from) {
  to.setTransfer(from.doubt ? "in-doubt" : "under-way");
  to.setTransferTo(text(from.to));
  if (from.doubt)
    to.setTransferWhy(text(*from.doubt));
}

void put(wire::NodeStats::Builder to, const node_figures& from) {
  to.setProcess(from.used.process);
  to.setMachine(text(from.used.machine));
  to.setStarted(millis(from.started));
  to.setCpuUserUs(static_cast<std::uint64_t>(from.used.cpu_user.count()));
  to.setCpuSystemUs(static_cast<std::uint64_t>(from.used.cpu_system.count()));
  to.setMemoryBytes(from.used.memory_bytes);
  to.setMemoryPeakBytes(from.used.memory_peak_bytes);
  to.setSyncs(from.syncs);
}

void put(wire::Alarm::Builder to, const alarm_report& from) {
  to.setName(text(from.name));
  to.setSubject(text(from.subject));
  to.setLevel(text(std::string{to_string(from.level)}));
  to.setDetail(text(from.detail));
  to.setAdvice(text(from.advice));
  to.setSince(millis(from.since));
  to.setAt(millis(from.at));
  to.setRaised(from.raised);
  to.setNumber(from.number);
}

void put(wire::GroupBooks::Builder to, const audited_group& from) {
  to.setGroup(text(from.group));
  to.setArrived(from.arrived);
  to.setAcked(from.acked);
  to.setReady(from.ready);
  to.setLeased(from.leased);
  to.setDelayed(from.delayed);
  to.setDead(from.dead);
  to.setRedriven(from.redriven);
  to.setPurged(from.purged);
  to.setForOthers(from.for_others);
  to.setExpired(from.expired);
  to.setSkipped(from.skipped);
  to.setReopened(from.reopened);
  to.setDroppedUnread(from.dropped_unread);
  to.setBalances(from.balances);
}

void put(wire::PartitionBooks::Builder to, const audited_partition& from) {
  to.setPartition(from.partition.number);
  to.setConfirmed(from.confirmed);
  to.setLive(from.live);
  to.setDropped(from.dropped);
  to.setBalances(from.balances);
  auto faults = to.initFaults(static_cast<kj::uint>(from.faults.size()));
  for (kj::uint i = 0; i < faults.size(); ++i)
    faults.set(i, text(from.faults[i]));
  auto groups = to.initGroups(static_cast<kj::uint>(from.groups.size()));
  for (kj::uint i = 0; i < groups.size(); ++i)
    put(groups[i], from.groups[i]);
  to.setEntries(from.entries);
  write(to.initAt(), from.at);
}

} // namespace

void write(wire::Error::Builder to, const failure& from) {
  to.setCode(static_cast<wire::ErrorCode>(from.code));
  to.setRetry(retry_can_help(from.code));
  to.setDetail(text(from.detail));
}

void write(wire::Position::Builder to, const log_position& from) {
  to.setIndex(from.index.value);
  to.setEpoch(from.written.value);
  to.setHashHigh(from.hash.high);
  to.setHashLow(from.hash.low);
}

log_position read(wire::Position::Reader from) {
  return {
      log_index{from.getIndex()}, epoch{from.getEpoch()}, {from.getHashHigh(), from.getHashLow()}};
}

std::vector<offset_range> read(capnp::List<wire::Range>::Reader from) {
  std::vector<offset_range> result;
  result.reserve(from.size());
  for (const auto each : from)
    result.push_back({message_offset{each.getFirst()}, message_offset{each.getEnd()}});
  return result;
}

void write(wire::Done::Builder to, const client_answer& from) {
  if (expect<done>(to, from))
    to.setOk();
}

void write(wire::PublishOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<publish_outcome>(to, from);
  if (!found)
    return;
  if (found->why.code != ec::none)
    return write(to.initError(), found->why);
  auto ok = to.initOk();
  ok.setFirstOffset(found->first.value);
  write(ok.initEntry(), found->entry);
  ok.setRepeated(found->repeated);
}

void write(wire::SettleOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<settle_outcome>(to, from);
  if (!found)
    return;
  if (found->why.code != ec::none)
    return write(to.initError(), found->why);
  auto lost = to.initOk().initLost(static_cast<kj::uint>(found->lost.size()));
  for (kj::uint i = 0; i < lost.size(); ++i)
    put(lost[i], found->lost[i]);
}

void write(wire::TopicsOutcome::Builder to, const client_answer& from, const std::string& node) {
  const auto* found = expect<std::vector<topic_details>>(to, from);
  if (!found)
    return;
  auto list = to.initOk(static_cast<kj::uint>(found->size()));
  for (kj::uint i = 0; i < list.size(); ++i)
    put(list[i], (*found)[i], node);
}

void write(wire::TopicOutcome::Builder to, const client_answer& from, const std::string& node) {
  const auto* found = expect<std::vector<topic_details>>(to, from);
  if (!found)
    return;
  WAYBILL_ASSERT(found->size() == 1);
  put(to.initOk(), found->front(), node);
}

void write(wire::GroupsOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<std::vector<group_details>>(to, from);
  if (!found)
    return;
  auto list = to.initOk(static_cast<kj::uint>(found->size()));
  for (kj::uint i = 0; i < list.size(); ++i) {
    const auto& group = (*found)[i];
    list[i].setName(text(group.name));
    put(list[i].initPolicy(), group.policy);
    auto parts = list[i].initPartitions(static_cast<kj::uint>(group.partitions.size()));
    for (kj::uint k = 0; k < parts.size(); ++k)
      put(parts[k], group.partitions[k].partition, group.partitions[k].view);
  }
}

void write(wire::DeadLettersOutcome::Builder to, const client_answer& from, std::uint32_t partition,
           bool with_bodies) {
  const auto* found = expect<letters_page>(to, from);
  if (!found)
    return;
  auto ok = to.initOk();
  auto list = ok.initLetters(static_cast<kj::uint>(found->letters->size()));
  for (kj::uint i = 0; i < list.size(); ++i)
    put(list[i], partition, (*found->letters)[i], with_bodies);
  for (kj::uint i = 0; found->transfers && i < list.size(); ++i)
    if (const auto at = found->transfers->find((*found->letters)[i].offset);
        at != found->transfers->end())
      put(list[i], at->second);
  ok.setNext(found->next.value);
  ok.setMore(found->more);
}

void write(wire::SeekOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<seek_result>(to, from);
  if (!found)
    return;
  auto ok = to.initOk();
  ok.setOffset(found->offset.value);
  ok.setSkipped(found->skipped);
  ok.setReopened(found->reopened);
}

void write(wire::RedriveOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<redrive_result>(to, from);
  if (!found)
    return;
  auto ok = to.initOk();
  auto removed = ok.initRemoved(static_cast<kj::uint>(found->removed.size()));
  for (kj::uint i = 0; i < removed.size(); ++i)
    removed.set(i, found->removed[i].value);
  auto offsets = ok.initOffsets(static_cast<kj::uint>(found->offsets.size()));
  for (kj::uint i = 0; i < offsets.size(); ++i)
    offsets.set(i, found->offsets[i].value);
  auto partitions = ok.initPartitions(static_cast<kj::uint>(found->partitions.size()));
  for (kj::uint i = 0; i < partitions.size(); ++i)
    partitions.set(i, found->partitions[i]);
  auto left = ok.initLeft(static_cast<kj::uint>(found->left.size()));
  for (kj::uint i = 0; i < left.size(); ++i) {
    left[i].setOffset(found->left[i].first.value);
    write(left[i].initError(), found->left[i].second);
  }
}

void write(wire::AuditOutcome::Builder to, const client_answer& from) {
  if (const auto* found = expect<books_ptr>(to, from))
    put(to.initOk(), **found);
}

void write(wire::VerifyOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<verify_result>(to, from);
  if (!found)
    return;
  switch (found->found) {
  case verify_finding::in_log:
    return to.setInLog();
  case verify_finding::dropped:
    return to.setDropped();
  case verify_finding::different:
    return to.setDifferent(text(found->detail));
  case verify_finding::unknown:
    return to.setUnknown(text(found->detail));
  }
}

void write(wire::AlarmsOutcome::Builder to, const client_answer& from) {
  const auto* found = expect<alarms_answer>(to, from);
  if (!found)
    return;
  auto ok = to.initOk();
  const auto& news = *found->news;
  ok.setStarted(millis(found->started));
  ok.setLast(news.last);
  auto raised = ok.initRaised(static_cast<kj::uint>(news.raised.size()));
  for (kj::uint i = 0; i < raised.size(); ++i)
    put(raised[i], news.raised[i]);
  ok.setUnlisted(news.unlisted);
  auto changes = ok.initChanges(static_cast<kj::uint>(news.changes.size()));
  for (kj::uint i = 0; i < changes.size(); ++i)
    put(changes[i], news.changes[i]);
  ok.setMissed(news.missed);
}

void write(wire::NodeStatsOutcome::Builder to, const client_answer& from) {
  if (const auto* found = expect<figures_ptr>(to, from))
    put(to.initOk(), **found);
}

void write(capnp::List<wire::Chunk>::Builder to, const chunk* first) {
  for (kj::uint i = 0; i < to.size(); ++i) {
    const auto& from = first[i];
    to[i].setPartition(from.partition);
    to[i].setBatch(data_of(from.batch.view()));
    to[i].setPublished(millis(from.published));
    auto deliveries = to[i].initDeliveries(static_cast<kj::uint>(from.messages.size()));
    for (kj::uint k = 0; k < deliveries.size(); ++k) {
      deliveries[k].setOffset(from.messages[k].offset.value);
      deliveries[k].setPosition(from.messages[k].position);
      deliveries[k].setAttempt(from.messages[k].attempt);
    }
  }
}

/// One of a later version of the contract, which nobody knows here, is an offset that no log has.
seek_target read(wire::SeekTarget::Reader from) {
  using kind = seek_target::kind;
  switch (from.which()) {
  case wire::SeekTarget::EARLIEST:
    return {kind::earliest, {}, {}};
  case wire::SeekTarget::LATEST:
    return {kind::latest, {}, {}};
  case wire::SeekTarget::TIME:
    return {kind::time, {}, wall_time{milliseconds{from.getTime()}}};
  case wire::SeekTarget::OFFSET:
    return {kind::offset, message_offset{from.getOffset()}, {}};
  }
  return {kind::offset, message_offset{UINT64_MAX}, {}};
}

policy_update read(wire::Policy::Reader from) {
  policy_update change;
  if (from.getLeaseMs() > 0)
    change.lease = milliseconds{static_cast<std::int64_t>(from.getLeaseMs())};
  if (from.getAttemptsMax() > 0)
    change.attempts_max = from.getAttemptsMax();
  if (from.getDelayMs() >= 0)
    change.delay = milliseconds{from.getDelayMs()};
  if (from.getFactor() >= 0)
    change.factor = from.getFactor();
  if (from.getDelayMaxMs() >= 0)
    change.delay_max = milliseconds{from.getDelayMaxMs()};
  if (from.getJitter() >= 0)
    change.jitter = from.getJitter();
  if (from.getOrdered() >= 0)
    change.ordered = from.getOrdered() > 0;
  return change;
}

retention_update read(wire::Retention::Reader from) {
  retention_update change;
  if (from.getKeepMs() >= 0)
    change.keep = milliseconds{from.getKeepMs()};
  if (from.getAgeMs() >= 0)
    change.age = milliseconds{from.getAgeMs()};
  if (from.getBytes() >= 0)
    change.bytes = static_cast<std::uint64_t>(from.getBytes());
  return change;
}

} // namespace waybill::rpc
