// The administrative calls: each asks, and copies the answer into plain values.
#include "net/client/admin_call.hpp"
#include "net/client/batch.hpp"
#include "net/client/client_impl.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace waybill {

using client_parts::admin_answer;
using client_parts::asked;
using client_parts::call;
using client_parts::refusal;
using client_parts::strange;
using client_parts::to_position;
using client_parts::to_text;
using client_parts::to_time;

namespace {

admin_answer<void> read_done(wire::Done::Reader done) {
  switch (done.which()) {
  case wire::Done::OK:
    return {result<void>{}, false};
  case wire::Done::ERROR:
    return refusal<void>(done.getError());
  default:
    return strange<void>();
  }
}

/// The call has taken effect in an earlier attempt whose answer was lost.
admin_answer<void> forgive(admin_answer<void> a, bool was_asked, ec code) {
  if (was_asked && !a.value && a.value.error().code == code)
    return {result<void>{}, false};
  return a;
}

topic_info to_topic(wire::TopicInfo::Reader from) {
  topic_info t;
  t.name = to_text(from.getName());
  t.id = from.getId();
  t.created = to_time(from.getCreated());
  const auto retention = from.getRetention();
  t.retention = {milliseconds{retention.getKeepMs()}, milliseconds{retention.getAgeMs()},
                 static_cast<std::uint64_t>(retention.getBytes())};
  for (const auto each : from.getPartitions()) {
    partition_info p;
    p.number = each.getNumber();
    p.state = to_text(each.getState());
    p.detail = to_text(each.getDetail());
    p.leader = to_text(each.getLeader());
    p.epoch = each.getEpoch();
    p.first_offset = message_offset{each.getFirstOffset()};
    p.next_offset = message_offset{each.getNextOffset()};
    p.commit = to_position(each.getCommit());
    p.groups = each.getGroups();
    p.held_messages = each.getHeldMessages();
    t.partitions.push_back(std::move(p));
  }
  return t;
}

milliseconds span_of(std::uint64_t ms) {
  return milliseconds{static_cast<std::int64_t>(std::min<std::uint64_t>(ms, 1ull << 53))};
}

group_info to_group(wire::GroupInfo::Reader from) {
  group_info g;
  g.name = to_text(from.getName());
  const auto policy = from.getPolicy();
  g.policy.lease = span_of(policy.getLeaseMs());
  g.policy.attempts_max = policy.getAttemptsMax();
  g.policy.delay = milliseconds{policy.getDelayMs()};
  g.policy.factor = policy.getFactor();
  g.policy.delay_max = milliseconds{policy.getDelayMaxMs()};
  g.policy.jitter = policy.getJitter();
  g.policy.ordered = policy.getOrdered() > 0;
  for (const auto each : from.getPartitions()) {
    group_partition_info p;
    p.partition = each.getPartition();
    p.start = message_offset{each.getStart()};
    p.floor = message_offset{each.getFloor()};
    p.ready = each.getReady();
    p.leased = each.getLeased();
    p.delayed = each.getDelayed();
    p.acked = each.getAcked();
    p.dead = each.getDead();
    p.consumers = each.getConsumers();
    p.settled_ranges = each.getSettledRanges();
    p.behind = each.getBehind();
    g.partitions.push_back(p);
  }
  return g;
}

void write_policy(wire::Policy::Builder to, const policy_change& from) {
  if (from.lease)
    to.setLeaseMs(static_cast<std::uint64_t>(std::max<std::int64_t>(from.lease->count(), 0)));
  if (from.attempts_max)
    to.setAttemptsMax(*from.attempts_max);
  to.setDelayMs(from.delay ? from.delay->count() : -1);
  to.setFactor(from.factor.value_or(-1));
  to.setDelayMaxMs(from.delay_max ? from.delay_max->count() : -1);
  to.setJitter(from.jitter.value_or(-1));
  if (from.ordered)
    to.setOrdered(*from.ordered ? 1 : 0);
}

/// The contract reads zero and negative values as "leave as it is": asking for one is a mistake
/// that would pass in silence.
void check_policy(const policy_change& change) {
  const auto refuse = [](const char* why) { throw client_error{{ec::bad_argument, why}}; };
  if (change.lease && change.lease->count() <= 0)
    refuse("a lease is longer than 0 ms");
  if (change.attempts_max && *change.attempts_max == 0)
    refuse("there is at least 1 attempt");
  if ((change.delay && change.delay->count() < 0) ||
      (change.delay_max && change.delay_max->count() < 0))
    refuse("a delay is not negative");
  if (change.factor && !(*change.factor >= 1))
    refuse("the factor of the delays is 1 or more");
  if (change.jitter && !(*change.jitter >= 0 && *change.jitter <= 1))
    refuse("the jitter is a share, from 0 to 1");
}

partition_books to_books(wire::PartitionBooks::Reader from) {
  partition_books b;
  b.partition = from.getPartition();
  b.confirmed = from.getConfirmed();
  b.live = from.getLive();
  b.dropped = from.getDropped();
  b.entries = from.getEntries();
  b.balances = from.getBalances();
  b.at = to_position(from.getAt());
  for (const auto each : from.getFaults())
    b.faults.push_back(to_text(each));
  for (const auto each : from.getGroups())
    b.groups.push_back({to_text(each.getGroup()), each.getArrived(), each.getAcked(),
                        each.getReady(), each.getLeased(), each.getDelayed(), each.getDead(),
                        each.getRedriven(), each.getPurged(), each.getForOthers(),
                        each.getExpired(), each.getSkipped(), each.getReopened(),
                        each.getDroppedUnread(), each.getBalances()});
  return b;
}

admin_answer<verification> read_verdict(wire::VerifyOutcome::Reader outcome) {
  switch (outcome.which()) {
  case wire::VerifyOutcome::IN_LOG:
    return {verification{verdict::in_log, {}}, false};
  case wire::VerifyOutcome::DROPPED:
    return {verification{verdict::dropped, {}}, false};
  case wire::VerifyOutcome::DIFFERENT:
    return {verification{verdict::different, to_text(outcome.getDifferent())}, false};
  case wire::VerifyOutcome::UNKNOWN:
    return {verification{verdict::unknown, to_text(outcome.getUnknown())}, false};
  case wire::VerifyOutcome::ERROR:
    return refusal<verification>(outcome.getError());
  default:
    return strange<verification>();
  }
}

} // namespace

// ---- topics -----------------------------------------------------------------------------------

namespace {

/// The contract reads negative values as "leave as it is": asking for one is a mistake that would
/// pass in silence.
void check_retention(const retention_change& change) {
  if ((change.keep && change.keep->count() < 0) || (change.age && change.age->count() < 0) ||
      (change.bytes && *change.bytes > INT64_MAX))
    throw client_error{{ec::bad_argument, "a topic's keep, age and bytes are 0 (off) or more, and "
                                          "fit 63 bits"}};
}

void write_retention(wire::Retention::Builder to, const retention_change& from) {
  to.setKeepMs(from.keep ? from.keep->count() : -1);
  to.setAgeMs(from.age ? from.age->count() : -1);
  to.setBytes(from.bytes ? static_cast<std::int64_t>(*from.bytes) : -1);
}

} // namespace

void client::create_topic(const std::string& name, std::uint32_t partitions,
                          const retention_change& retention) {
  check_retention(retention);
  bool is_ours = true; // an answer of an earlier attempt may be lost
  try {
    call<void>(
        impl_->core, "create_topic",
        [&is_ours, name, partitions, retention](wire::Session::Client session, bool was_asked) {
          is_ours = was_asked;
          auto request = session.createTopicRequest();
          request.setName(name);
          request.setPartitions(partitions);
          write_retention(request.initRetention(), retention);
          return asked<void>(std::move(request), read_done);
        });
  } catch (const client_error& e) {
    if (e.code() != ec::topic_exists || !is_ours)
      throw;
    if (describe_topic(name).partitions.size() != partitions)
      throw; // somebody else's
  }
}

void client::set_topic(const std::string& name, const retention_change& change) {
  check_retention(change);
  call<void>(impl_->core, "set_topic", [name, change](wire::Session::Client session, bool) {
    auto request = session.setTopicRequest();
    request.setName(name);
    write_retention(request.initRetention(), change);
    return asked<void>(std::move(request), read_done);
  });
}

std::vector<topic_info> client::list_topics() {
  using topics = std::vector<topic_info>;
  return call<topics>(impl_->core, "list_topics", [](wire::Session::Client session, bool) {
    return asked<topics>(session.listTopicsRequest(),
                         [](wire::TopicsOutcome::Reader outcome) -> admin_answer<topics> {
                           if (outcome.which() == wire::TopicsOutcome::ERROR)
                             return refusal<topics>(outcome.getError());
                           if (outcome.which() != wire::TopicsOutcome::OK)
                             return strange<topics>();
                           topics all;
                           for (const auto each : outcome.getOk())
                             all.push_back(to_topic(each));
                           return {std::move(all), false};
                         });
  });
}

topic_info client::describe_topic(const std::string& name) {
  return call<topic_info>(
      impl_->core, "describe_topic", [name](wire::Session::Client session, bool) {
        auto request = session.describeTopicRequest();
        request.setName(name);
        return asked<topic_info>(
            std::move(request), [](wire::TopicOutcome::Reader outcome) -> admin_answer<topic_info> {
              if (outcome.which() == wire::TopicOutcome::ERROR)
                return refusal<topic_info>(outcome.getError());
              if (outcome.which() != wire::TopicOutcome::OK)
                return strange<topic_info>();
              return {to_topic(outcome.getOk()), false};
            });
      });
}

void client::delete_topic(const std::string& name) {
  call<void>(impl_->core, "delete_topic", [name](wire::Session::Client session, bool was_asked) {
    auto request = session.deleteTopicRequest();
    request.setName(name);
    return asked<void>(std::move(request), [was_asked](wire::Done::Reader done) {
      return forgive(read_done(done), was_asked, ec::unknown_topic);
    });
  });
}

// ---- groups -----------------------------------------------------------------------------------

std::vector<group_info> client::list_groups(const std::string& topic) {
  using groups = std::vector<group_info>;
  return call<groups>(impl_->core, "list_groups", [topic](wire::Session::Client session, bool) {
    auto request = session.listGroupsRequest();
    request.setTopic(topic);
    return asked<groups>(std::move(request),
                         [](wire::GroupsOutcome::Reader outcome) -> admin_answer<groups> {
                           if (outcome.which() == wire::GroupsOutcome::ERROR)
                             return refusal<groups>(outcome.getError());
                           if (outcome.which() != wire::GroupsOutcome::OK)
                             return strange<groups>();
                           groups all;
                           for (const auto each : outcome.getOk())
                             all.push_back(to_group(each));
                           return {std::move(all), false};
                         });
  });
}

void client::set_group(const std::string& topic, const std::string& group,
                       const policy_change& change) {
  check_policy(change);
  call<void>(impl_->core, "set_group", [topic, group, change](wire::Session::Client session, bool) {
    auto request = session.setGroupRequest();
    request.setTopic(topic);
    request.setGroup(group);
    write_policy(request.initPolicy(), change);
    return asked<void>(std::move(request), read_done);
  });
}

void client::delete_group(const std::string& topic, const std::string& group) {
  call<void>(impl_->core, "delete_group",
             [topic, group](wire::Session::Client session, bool was_asked) {
               auto request = session.deleteGroupRequest();
               request.setTopic(topic);
               request.setGroup(group);
               return asked<void>(std::move(request), [was_asked](wire::Done::Reader done) {
                 return forgive(read_done(done), was_asked, ec::unknown_group);
               });
             });
}

// ---- proof ------------------------------------------------------------------------------------

partition_books client::audit(const std::string& topic, std::uint32_t partition) {
  return call<partition_books>(
      impl_->core, "audit", [topic, partition](wire::Session::Client session, bool) {
        auto request = session.auditRequest();
        request.setTopic(topic);
        request.setPartition(partition);
        return asked<partition_books>(
            std::move(request),
            [](wire::AuditOutcome::Reader outcome) -> admin_answer<partition_books> {
              if (outcome.which() == wire::AuditOutcome::ERROR)
                return refusal<partition_books>(outcome.getError());
              if (outcome.which() != wire::AuditOutcome::OK)
                return strange<partition_books>();
              return {to_books(outcome.getOk()), false};
            });
      });
}

verification client::verify(const receipt& r) {
  return call<verification>(impl_->core, "verify", [r](wire::Session::Client session, bool) {
    auto request = session.verifyRequest();
    request.setTopic(r.topic);
    request.setPartition(r.partition);
    request.setOffset(r.offset.value);
    auto entry = request.initEntry();
    entry.setIndex(r.entry.index.value);
    entry.setEpoch(r.entry.written.value);
    entry.setHashHigh(r.entry.hash.high);
    entry.setHashLow(r.entry.hash.low);
    return asked<verification>(std::move(request), read_verdict);
  });
}

} // namespace waybill
