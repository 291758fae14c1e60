// What a leader does for groups and consumers: joining, settling, proposals, deliveries.
#include "actors/partition/partition_leader_state.hpp"
#include "storage/assert.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::size_t deliver_most = 5'000; ///< messages of one round
constexpr std::uint64_t read_ahead_bytes = 1u << 20;
/// Proposals that are appended and not committed; what comes meanwhile gathers in the next one.
constexpr std::size_t proposals_max = 2;
constexpr milliseconds read_again{1'000};

group_policy default_policy(const delivery_limits& limits) {
  return {limits.lease,
          static_cast<std::uint32_t>(limits.attempts_max),
          limits.delay,
          limits.factor,
          limits.delay_max,
          limits.jitter,
          false};
}

group_policy changed(group_policy p, const policy_update& change) {
  p.lease = change.lease.value_or(p.lease);
  p.attempts_max = change.attempts_max.value_or(p.attempts_max);
  p.delay = change.delay.value_or(p.delay);
  p.factor = change.factor.value_or(p.factor);
  p.delay_max = change.delay_max.value_or(p.delay_max);
  p.jitter = change.jitter.value_or(p.jitter);
  p.ordered = change.ordered.value_or(p.ordered);
  return p;
}

} // namespace

/// Creates the group, or changes it, and goes on when that is committed.
void partition_leader_state::with_group(const std::string& group, const policy_update& change,
                                        committed_callback then) {
  auto& bounds = args.node->bounds.delivery;
  const auto existing = rules->policy_of(group);
  if (const auto found = creating.find(group); !existing && found != creating.end()) {
    found->second.push_back([this, group, change, then = std::move(then)](const failure* why) {
      if (why)
        then(why);
      else
        with_group(group, change, then);
    });
    return;
  }
  const group_record record{existing ? group_action::update : group_action::create,
                            group,
                            changed(existing.value_or(default_policy(bounds)), change),
                            {}};
  if (existing && record.policy == *existing)
    return then(nullptr);
  if (const auto fine = delivery::check_policy(record.policy, bounds); !fine)
    return then(&fine.error());
  if (!existing) {
    if (const auto room = rules->check_create(record, creating.size()); !room)
      return then(&room.error());
    creating[group];
  }
  waiting who;
  who.then = [this, group, then = std::move(then)](const failure* why) {
    const auto others = creating.extract(group);
    then(why);
    if (others)
      for (const auto& each : others.mapped())
        each(why);
  };
  append(entry_kind::group, 0, shared_bytes{encode(record)}, std::move(who));
}

caf::result<milliseconds> partition_leader_state::join(const receiver_actor& who,
                                                       const join_request& what) {
  if (auto why = refusal())
    return to_error(*why);
  auto promise = self->make_response_promise<milliseconds>();
  auto enter = [this, who, what, promise](const failure* why) mutable {
    if (why) {
      promise.deliver(to_error(*why));
      return;
    }
    const auto joined =
        rules->join(what.group, what.consumer, what.name, what.credit_messages, what.credit_bytes);
    if (!joined) {
      promise.deliver(to_error(joined.error()));
      return;
    }
    consumers[what.consumer] = who;
    consumer_of[who.address()] = what.consumer;
    self->monitor(who);
    group_rose(what.group);
    promise.deliver(rules->policy_of(what.group)->lease);
    turn();
  };
  if (rules->has_group(what.group))
    enter(nullptr);
  else
    with_group(what.group, {}, enter);
  return promise;
}

void partition_leader_state::forget_consumer(consumer_id who) {
  if (const auto found = consumers.extract(who)) {
    self->demonitor(found.mapped().address());
    consumer_of.erase(found.mapped().address());
  }
}

caf::result<done> partition_leader_state::leave(consumer_id who, leaving how) {
  if (now_is == phase::leading || now_is == phase::stopping) {
    settle_unjudged(who); // what it has said comes before that it goes
    forget_consumer(who);
    rules->leave(who, how, now_of(*self), draw());
    look_at_gauges();
    turn();
  }
  return done{};
}

void partition_leader_state::settle(const settle_request& what) {
  const auto found = consumers.find(what.consumer);
  if (found == consumers.end())
    return; // its session is gone, or rejoins and has answered the call itself
  settling result;
  const auto now = now_of(*self);
  switch (what.kind) {
  case settle_kind::ack:
    result = rules->ack(what.consumer, what.ranges);
    break;
  case settle_kind::nack:
    if (ask_policy(what))
      return;
    result =
        rules->nack(what.consumer, what.ranges.front().first, what.span, what.reason, now, draw());
    break;
  case settle_kind::extend:
    result = rules->extend(what.consumer, what.ranges, what.span.value_or(milliseconds{0}), now);
    break;
  case settle_kind::give_back:
    result = rules->give_back(what.consumer, what.ranges);
    break;
  }
  settled_by(found->second, what.question, std::move(result));
  turn();
}

void partition_leader_state::settled_by(const receiver_actor& receiver, std::uint64_t question,
                                        settling result) {
  settle_outcome outcome{question, {ec::none, {}}, std::move(result.lost)};
  if (result.answered_by == proposal_number{})
    settled[receiver].push_back(std::move(outcome));
  else
    settles.emplace(result.answered_by, settle_waiting{receiver, std::move(outcome)});
}

caf::result<done> partition_leader_state::set_group(const std::string& group,
                                                    const policy_update& change) {
  if (auto why = refusal())
    return to_error(*why);
  auto promise = self->make_response_promise<done>();
  with_group(group, change, [promise](const failure* why) mutable {
    if (why)
      promise.deliver(to_error(*why));
    else
      promise.deliver(done{});
  });
  return promise;
}

caf::result<done> partition_leader_state::remove_group(const std::string& group) {
  if (auto why = refusal())
    return to_error(*why);
  if (auto why = no_group(group))
    return to_error(*why);
  auto promise = self->make_response_promise<done>();
  waiting who;
  who.then = [this, promise](const failure* why) mutable {
    if (why) {
      promise.deliver(to_error(*why));
      return;
    }
    end_consumers();
    promise.deliver(done{});
  };
  append(entry_kind::group, 0,
         shared_bytes{encode(group_record{group_action::remove, group, {}, {}})}, std::move(who));
  return promise;
}

void partition_leader_state::end_consumers() {
  for (const auto who : rules->take_ended()) {
    if (const auto found = consumers.find(who); found != consumers.end())
      self->send(found->second, atom::ended_v, args.partition.number,
                 to_error({ec::unknown_group, "the group was deleted"}));
    forget_consumer(who);
  }
}

/// What the rules want committed becomes an entry. Few at a time: acknowledgements that come while
/// others are on their way to the disk share the next entry.
void partition_leader_state::propose() {
  while (proposals_waiting < proposals_max && rules->may_propose()) {
    if (!filling)
      filling = rules->propose(now_of(*self), draw());
    if (!filling || !fill_letters())
      return;
    waiting who;
    who.proposal = filling->number;
    ++proposals_waiting;
    const auto body = encode(filling->record);
    filling.reset();
    append(entry_kind::delivery, 0, shared_bytes{body}, std::move(who));
  }
}

/// A dead letter carries its message. @returns whether all have theirs
bool partition_leader_state::fill_letters() {
  bool complete = true;
  for (auto& changes : filling->record.groups)
    for (auto& dead : changes.dead) {
      if (!dead.message.empty())
        continue;
      if (auto found = pump->message_at(dead.offset)) {
        dead.message = std::move(found->bytes);
        dead.published = found->published;
      } else {
        complete = false;
        read(dead.offset);
      }
    }
  return complete;
}

void partition_leader_state::deliver() {
  const auto look = [this](message_offset offset,
                           delivery::wants_key key) -> std::optional<delivery::message_facts> {
    const auto bytes = pump->size_of(offset);
    if (!bytes)
      return std::nullopt;
    return delivery::message_facts{
        *bytes, key == delivery::wants_key::yes ? pump->key_of(offset).value_or(0) : 0};
  };
  const auto now = now_of(*self); // one moment: what has expired by then was taken out before
  for (;;) {
    const auto orders = rules->deliver(now, look, deliver_most);
    if (orders.empty())
      break;
    for (auto& [consumer, what] : pump->pack(orders))
      self->send(consumers.at(consumer), atom::deliver_v, std::move(what));
    pump->let_go();
  }
  read_wanted();
}

void partition_leader_state::read_wanted() {
  for (const auto offset : rules->wanted())
    read(offset);
}

void partition_leader_state::read(message_offset offset) {
  const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
  if (!reader || !reading.insert(offset).second)
    return;
  self->request(reader, args.node->bounds.storage.request_timeout, atom::read_v, args.partition,
                offset, read_ahead_bytes)
      .then(
          [this, offset](const entry_list& found) {
            if (found->empty() && is_needed(offset))
              // Stays in `reading`: asking again would find the same.
              return raise_alarm(
                  *self, {"message-missing", message_id(args.topic, args.partition.number, offset),
                          alarm_level::critical,
                          "a message that is not settled is not in the store: audit " +
                              partition_name(args.topic, args.partition.number),
                          true});
            reading.erase(offset);
            std::vector<cached_entry_ptr> read;
            for (const auto& e : *found)
              if (e.message_count > 0)
                if (auto made = make_cached_entry(e))
                  read.push_back(*std::move(made));
            pump->keep_ahead(read);
            turn();
          },
          [this, offset](const caf::error& why) {
            reading.erase(offset);
            if (to_failure(why).code == ec::damaged)
              return step_down(to_failure(why));
            self->delayed_send(self, read_again, atom::tick_v);
          });
}

/// Whether some group may still want it; none does when the one that asked was removed meanwhile.
bool partition_leader_state::is_needed(message_offset offset) const {
  return std::ranges::any_of(rules->needed(), [offset](const offset_range& each) {
    return each.first <= offset && offset < each.end;
  });
}

void partition_leader_state::turn() {
  if (now_is != phase::leading && now_is != phase::stopping)
    return;
  const auto now = now_of(*self);
  if (const auto due = rules->next_tick(); due && *due <= now.steady)
    rules->tick(now, draw());
  propose();
  if (now_is == phase::leading)
    deliver();
  pump->let_go();
  send_answers();
  for (auto& [receiver, outcomes] : settled)
    self->send(receiver, atom::settled_v, std::move(outcomes));
  settled.clear();
  look_at_retention();
  checkpoint_if_due();
  arm_tick();
  stop_if_idle();
}

} // namespace waybill
