// A leader's log: what is appended, what is committed, what that changes, and the checkpoints of
// it.
#include "actors/partition/partition_leader_state.hpp"
#include "actors/rules/gathering.hpp"
#include "storage/assert.hpp"
#include "storage/compression.hpp"
#include "storage/records_codec.hpp"

namespace waybill {

namespace {

/// What our own log holds was checked before it was written, and by its hash when it was read.
template <class T>
T must(result<T> value) {
  WAYBILL_ASSERT(value);
  return *std::move(value);
}

} // namespace

log_index partition_leader_state::append(entry_kind kind, std::uint32_t messages, shared_bytes body,
                                         waiting who) {
  const auto& e = log->append(kind, messages, std::move(body), now_of(*self).wall);
  commits->appended(position_of(e));
  waits.emplace(e.index, std::move(who));
  gauges->requests.rose(waits.size());
  pending_rose(entry_header_bytes + e.body.size());
  self->request(writer, caf::infinite, atom::append_v, entries{e})
      .then([this](log_index last) { stored(last); },
            // After a failed sync nobody knows what is on the disk: never try again, let go.
            [this](const caf::error& why) { step_down(to_failure(why)); });
  return e.index;
}

void partition_leader_state::stored(log_index up_to) {
  if (now_is == phase::ended || !commits->stored(up_to))
    return;
  if (now_is == phase::recovering)
    replay();
  else
    commit();
}

void partition_leader_state::commit() {
  while (const auto e = log->take(commits->committed())) {
    const auto found = waits.extract(e->index);
    WAYBILL_ASSERT(found);
    apply(*e, found.mapped());
  }
  turn();
}

void partition_leader_state::apply(const entry& e, const waiting& who) {
  switch (e.kind) {
  case entry_kind::epoch_start:
    break;
  case entry_kind::messages:
    apply_messages(e, who);
    break;
  case entry_kind::delivery:
    apply_delivery(e, who);
    break;
  case entry_kind::group:
    apply_group(must(decode_group_record(e.body.view())));
    break;
  case entry_kind::producer:
    senders->apply(must(decode_producer_record(e.body.view())), e.stamped);
    gauges->producers.rose(senders->count());
    break;
  case entry_kind::redrive:
    apply_redrive(e);
    break;
  case entry_kind::retention:
    apply_retention(must(decode_retention_record(e.body.view())));
    break;
  case entry_kind::transfer:
    apply_transfer(e);
    break;
  }
  if (e.message_count > 0)
    keeper->arrived(e);
  applied = position_of(e);
  applied_stamp = e.stamped;
  applied_offset = offsets_of(e).end;
  bytes_since_checkpoint += entry_header_bytes + e.body.size();
  if (who.then)
    who.then(nullptr);
}

void partition_leader_state::apply_messages(const entry& e, const waiting& who) {
  const auto body = must(decode_publish_body(e.body.view()));
  const batch_claim claim{body.producer, body.opened, body.number, body.previous,
                          who.batch_hash ? *who.batch_hash : hash_as_sent(body)};
  senders->apply(claim, position_of(e), e.first_offset, e.message_count, e.stamped);
  rules->apply_messages(offsets_of(e), std::nullopt);
  timed_appended -= who.timed;
  const auto cached = must(make_cached_entry(e));
  // One that was just published was counted by its session, so it need not be read again.
  if (!who.batch_hash || who.timed > 0)
    apply_times(*cached);
  confirmed += e.message_count;
  args.node->cache.put(cached);
  bool repeated = false;
  for (const auto& [publisher, question] : who.publishers) {
    answer(publisher, {question, {ec::none, {}}, e.first_offset, position_of(e), repeated});
    repeated = true;
  }
}

void partition_leader_state::apply_times(const cached_entry& what) {
  const auto plain = must(plain_batch(what.batch));
  const auto times = must(times_of(plain.view(), what.content.first_offset, what.content.stamped));
  if (times.empty())
    return;
  rules->apply_times(times, now_of(*self));
  gauges->timed.rose(rules->timed_count());
}

void partition_leader_state::apply_delivery(const entry& e, const waiting& who) {
  const auto record = must(decode_delivery_record(e.body.view()));
  const auto buried = rules->apply(record, who.proposal, now_of(*self));
  letter_changes letters;
  auto next = buried.begin(); // in the order of the record
  for (const auto& changes : record.groups) {
    group_rose(changes.group);
    for (const auto& dead : changes.dead) {
      if (next == buried.end() || next->first != changes.group || next->second != dead.offset)
        continue; // its message was settled before
      letters.emplace_back(dead_letter_put{args.partition, changes.group, dead});
      ++next;
    }
  }
  tell_listeners(letters);
  if (!letters.empty())
    self->send(writer, atom::letters_v, std::move(letters));
  if (who.proposal == proposal_number{})
    return;
  --proposals_waiting;
  const auto [first, last] = settles.equal_range(who.proposal);
  for (auto each = first; each != last; ++each)
    settled[each->second.receiver].push_back(std::move(each->second.outcome));
  settles.erase(first, last);
}

/// A group that goes takes its dead letters along: one that comes later under its name has none.
void partition_leader_state::apply_group(const group_record& record) {
  std::map<log_index, transfer_state> gone;
  if (record.action == group_action::remove) {
    partition_snapshot state;
    rules->snapshot(state);
    letter_changes letters;
    for (const auto& group : state.groups)
      if (group.group == record.group)
        for (const auto& [offset, died] : group.dead_letters)
          letters.emplace_back(dead_letter_removed{args.partition, record.group, offset});
    if (!letters.empty())
      self->send(writer, atom::letters_v, std::move(letters));
    if (const auto* transfers = rules->transfers_of(record.group))
      gone = *transfers;
    if (filling) // what its consumers settled must not reach a later group of the same name
      std::erase_if(filling->record.groups,
                    [&](const auto& changes) { return changes.group == record.group; });
  }
  const auto before = rules->counts_of(record.group);
  rules->apply(record, now_of(*self));
  if (record.action == group_action::seek)
    applied_seek(record, before);
  if (record.action == group_action::seek || record.action == group_action::create)
    warn(record.group, keeper->warned_below());
  gauges->groups.look(rules->group_count());
  if (record.action == group_action::remove)
    gauges_of_groups.erase(record.group);
  for (const auto& [begun, each] : gone)
    transfer_gone(record.group, begun, each);
}

/// What was under way for messages before the place is over: nothing of it may reach a message that
/// a later seek opens again.
void partition_leader_state::applied_seek(const group_record& record,
                                          const std::optional<group_counts>& before) {
  last_seek.reset();
  if (!before)
    return; // the group was removed meanwhile
  const auto after = *rules->counts_of(record.group);
  last_seek = {record.start, after.skipped - before->skipped, after.reopened - before->reopened};
  if (!filling)
    return;
  for (auto& changes : filling->record.groups) {
    if (changes.group == record.group)
      forget_below(changes, record.start);
  }
}

void partition_leader_state::apply_redrive(const entry& e) {
  const auto record = must(decode_redrive_record(e.body.view()));
  letter_changes letters;
  last_removed = rules->apply(record);
  for (const auto offset : last_removed) {
    letters.emplace_back(dead_letter_removed{args.partition, record.group, offset});
    moving.erase({record.group, offset});
  }
  if (!letters.empty())
    self->send(writer, atom::letters_v, std::move(letters));
  if (e.message_count == 0)
    return;
  rules->apply_messages(offsets_of(e), record.group);
  confirmed += e.message_count;
  args.node->cache.put(must(make_cached_entry(e)));
}

partition_snapshot partition_leader_state::snapshot() const {
  partition_snapshot state;
  state.at = applied;
  state.next_offset = applied_offset;
  state.last_stamp = applied_stamp;
  state.confirmed = confirmed;
  rules->snapshot(state);
  senders->snapshot(state);
  keeper->snapshot(state);
  return state;
}

void partition_leader_state::checkpoint_if_due() {
  const auto& bounds = args.node->bounds.partitions;
  const bool old = now_of(*self).steady - checkpointed_at >= bounds.checkpoint_interval;
  if (!checkpointing && now_is == phase::leading && bytes_since_checkpoint > 0 &&
      (old || bytes_since_checkpoint >= bounds.checkpoint_bytes))
    checkpoint();
}

void partition_leader_state::checkpoint() {
  look_at_gauges();
  checkpointing = true;
  checkpointed_at = now_of(*self).steady;
  bytes_since_checkpoint = 0;
  auto needed = rules->needed();
  keeper->trim(needed.empty() ? applied_offset : needed.front().first);
  auto what =
      std::make_shared<const struct checkpoint>(waybill::checkpoint{snapshot(), std::move(needed)});
  self->request(writer, caf::infinite, atom::checkpoint_v, args.partition, checkpoint_ptr{what})
      .then(
          [this](done) {
            checkpointing = false;
            turn();
          },
          [this](const caf::error& why) {
            checkpointing = false;
            if (to_failure(why).code !=
                ec::disk_full) // the old one stands: nothing is dropped, that is all
              return step_down(to_failure(why));
            if (now_is == phase::stopping)
              stop_if_idle();
          });
}

void partition_leader_state::arm_tick() {
  auto next = rules->next_tick();
  if (bytes_since_checkpoint > 0) {
    const auto due = checkpointed_at + args.node->bounds.partitions.checkpoint_interval;
    next = next ? std::min(*next, due) : due;
  }
  if (gauges_due)
    next = next ? std::min(*next, *gauges_due) : *gauges_due;
  if (const auto look = next_look_at_retention(); look && (!next || *look < *next))
    next = look;
  if (!next || (tick_armed && *tick_armed <= *next))
    return;
  tick_armed = next;
  const auto now = now_of(*self).steady;
  self->delayed_send(self, std::max(milliseconds{0}, *next - now), atom::tick_v);
}

void partition_leader_state::tick() {
  tick_armed.reset();
  if (now_is != phase::leading && now_is != phase::stopping)
    return;
  if (gauges_due && *gauges_due <= now_of(*self).steady)
    look_at_gauges();
  turn();
}

} // namespace waybill
