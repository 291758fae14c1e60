// A leader's beginning and end, and its behaviour as a table of contents.
#include "actors/partition/partition_leader.hpp"

#include "actors/partition/partition_leader_state.hpp"
#include "storage/assert.hpp"

namespace waybill {

namespace {

constexpr std::uint64_t replay_bytes = 4u << 20;

} // namespace

void partition_leader_state::start() {
  writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
  if (!writer)
    return step_down({ec::stopping, "the store is closed"});
  // Without a time-out, as every request to the writer: it answers, or ends and the node with it.
  self->request(writer, caf::infinite, atom::promise_v, args.partition, args.leading)
      .then([this](const recovered_ptr& found) { begin(*found); },
            [this](const caf::error& why) { step_down(to_failure(why)); });
}

void partition_leader_state::begin(const recovered_partition& found) {
  if (found.damage)
    return step_down({ec::damaged, found.damage->detail});
  if (found.last.index < args.committed.index)
    return step_down({ec::damaged, partition_name(args.topic, args.partition.number) +
                                       " ends at index " + std::to_string(found.last.index.value) +
                                       ", but index " + std::to_string(args.committed.index.value) +
                                       " was committed: this copy has lost entries"});
  const auto state = found.checkpointed.value_or(partition_snapshot{});
  const auto& bounds = args.node->bounds;
  log.emplace(args.partition, args.leading, found);
  rules.emplace(bounds.delivery, state);
  senders.emplace(bounds.producers, state);
  keeper.emplace(state);
  pump.emplace(args.partition, args.node->cache, args.node->plain);
  applied = state.at;
  applied_stamp = state.last_stamp;
  applied_offset = state.next_offset;
  confirmed = state.confirmed;
  checkpointed_at = now_of(*self).steady;
  start_index = log_index{found.last.index.value + 1};
  commits.emplace(
      commit_rule::options{1, args.leading, args.self, {args.self}, start_index, state.at.index});
  begin_gauges();
  append(entry_kind::epoch_start, 0, {}, {});
}

/// Applies what the log holds beyond the checkpoint, piece by piece. The epoch's start is on disk
/// at every member, so all before it is committed.
void partition_leader_state::replay() {
  if (applied.index.value + 1 == start_index.value)
    return leads();
  const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
  if (!reader)
    return step_down({ec::internal, "there is no storage reader at this moment"});
  self->request(reader, args.node->bounds.storage.request_timeout, atom::replay_v, args.partition,
                log_index{applied.index.value + 1}, replay_bytes)
      .then([this](const entry_list& piece) { take_replayed(*piece); },
            [this](const caf::error& why) { step_down(to_failure(why)); });
}

void partition_leader_state::take_replayed(const entries& piece) {
  for (const auto& e : piece) {
    if (e.index == start_index)
      break;
    if (e.index.value != applied.index.value + 1 || e.previous != applied.hash)
      return step_down({ec::damaged, partition_name(args.topic, args.partition.number) +
                                         " has a hole or a broken chain after index " +
                                         std::to_string(applied.index.value)});
    apply(e, {});
  }
  if (piece.empty())
    return step_down({ec::damaged, partition_name(args.topic, args.partition.number) +
                                       " has no entry at index " +
                                       std::to_string(applied.index.value + 1)});
  replay();
}

void partition_leader_state::leads() {
  now_is = phase::leading;
  self->send(args.parent, atom::stored_v, args.partition, args.leading);
  commit(); // the epoch's start
  carry_on();
}

std::optional<failure> partition_leader_state::refusal() const {
  const auto subject = partition_name(args.topic, args.partition.number);
  switch (now_is) {
  case phase::recovering:
    return failure{ec::partition_offline, subject + " is recovering; repeat"};
  case phase::leading:
    return std::nullopt;
  case phase::stopping:
    return failure{ec::stopping,
                   "the node of " + subject + " is stopping; repeat elsewhere or later"};
  case phase::ended:
    break;
  }
  return failure{ec::not_leader, "this leader of " + subject + " has ended; repeat"};
}

std::optional<failure> partition_leader_state::no_group(const std::string& group) const {
  if (rules->has_group(group))
    return std::nullopt;
  return failure{ec::unknown_group, "there is no group \"" + group + "\" in " +
                                        partition_name(args.topic, args.partition.number)};
}

std::optional<failure> partition_leader_state::refusal_of_change(const std::string& group) const {
  if (auto why = refusal())
    return why;
  if (auto why = no_room())
    return why;
  return no_group(group);
}

double partition_leader_state::draw() { return std::uniform_real_distribution{0.0, 1.0}(random); }

caf::result<done> partition_leader_state::stop() {
  if (now_is == phase::recovering || now_is == phase::ended) {
    step_down({ec::stopping, "the node is stopping"});
    return done{};
  }
  now_is = phase::stopping;
  stopper = self->make_response_promise<done>();
  turn();
  return stopper;
}

/// What is in flight has its answer; then one last checkpoint, so that the next start has less to
/// read.
void partition_leader_state::stop_if_idle() {
  if (now_is != phase::stopping || log->uncommitted() > 0 || checkpointing)
    return;
  if (bytes_since_checkpoint > 0)
    return checkpoint();
  now_is = phase::ended;
  end_transfers(
      {ec::stopping, "the node is stopping; what has begun goes on when it starts again"});
  stopper.deliver(done{});
  self->quit();
}

/// Everyone who waits is told: one that dies with its actor is never answered.
void partition_leader_state::step_down(const failure& why) {
  if (now_is == phase::ended)
    return;
  now_is = phase::ended;
  const failure told{why.code == ec::storage_failed || why.code == ec::stopping ||
                             why.code == ec::disk_full || why.code == ec::unknown_topic
                         ? why.code
                         : ec::not_leader,
                     why.detail};
  for (auto& [index, who] : waits) {
    for (const auto& [publisher, question] : who.publishers)
      answer(publisher, {question, told, {}, {}, false});
    if (who.then)
      who.then(&told);
  }
  waits.clear();
  end_transfers(told);
  send_answers();
  for (auto& [number, who] : settles) {
    who.outcome.why = told;
    settled[who.receiver].push_back(std::move(who.outcome));
  }
  for (const auto& [number, what] : judging)
    if (const auto receiver = consumers.find(what.said.consumer); receiver != consumers.end())
      settled[receiver->second].push_back({what.said.question, told, {}});
  judging.clear();
  for (auto& [receiver, outcomes] : settled)
    self->send(receiver, atom::settled_v, std::move(outcomes));
  for (const auto& [id, receiver] : consumers)
    if (told.code == ec::unknown_topic)
      self->send(receiver, atom::ended_v, args.partition.number, to_error(told));
  if (stopper.pending())
    stopper.deliver(done{});
  self->quit(to_error(why));
}

static partition_leader_actor::behavior_type
partition_leader(partition_leader_actor::stateful_pointer<partition_leader_state> self,
                 partition_leader_args args) {
  auto& state = self->state;
  state.self = self;
  state.args = std::move(args);
  self->set_exit_handler([&state](const caf::exit_msg& m) {
    state.step_down(m.reason.category() == caf::atom("waybill")
                        ? to_failure(m.reason)
                        : failure{ec::not_leader, "the leader was ended"});
  });
  self->set_down_handler([&state](const caf::down_msg& down) {
    if (const auto found = state.consumer_of.find(down.source); found != state.consumer_of.end())
      state.leave(found->second, leaving::vanished);
    else
      state.courier_down(down);
  });
  state.start();
  return {
      [&state](atom::publish, const publisher_actor& from, const publish_request& what) {
        state.publish(from, what);
      },
      [&state](atom::open, const std::string& producer, std::uint64_t instance, bool take_over) {
        return state.open(producer, instance, take_over);
      },
      [&state](atom::join, const receiver_actor& who, const join_request& what) {
        return state.join(who, what);
      },
      [&state](atom::leave, consumer_id who, leaving how) { return state.leave(who, how); },
      [&state](atom::credit, consumer_id who, std::uint32_t messages,
               std::uint64_t bytes) -> caf::result<done> {
        if (state.now_is == partition_leader_state::phase::leading) {
          state.rules->set_credit(who, messages, bytes);
          state.turn();
        }
        return done{};
      },
      [&state](atom::settle, const settle_request& what) { state.settle(what); },
      [&state](atom::group, const std::string& group, const policy_update& change) {
        return state.set_group(group, change);
      },
      [&state](atom::remove, const std::string& group) { return state.remove_group(group); },
      [&state](atom::seek, const std::string& group, const seek_target& target) {
        return state.seek(group, target);
      },
      [&state](atom::looked, const std::string& group) { state.looked_at_letters(group); },
      [&state](atom::describe) { return state.describe(); },
      [&state](atom::redrive, const std::string& group,
               const std::vector<message_offset>& offsets) {
        return state.redrive(group, offsets);
      },
      [&state](atom::purge, const std::string& group, const std::vector<message_offset>& offsets) {
        return state.purge(group, offsets);
      },
      [&state](atom::transfer, const std::string& group, const std::vector<message_offset>& offsets,
               const transfer_wish& wish) { return state.transfer(group, offsets, wish); },
      [&state](atom::release, const std::string& group,
               const std::vector<message_offset>& offsets) {
        return state.release(group, offsets);
      },
      [&state](atom::transfers, const std::string& group) { return state.transfers(group); },
      [&state](atom::carried, log_index begun, const carried& what) {
        state.carried_out(begun, what);
      },
      [&state](atom::basis) -> caf::result<basis_ptr> {
        if (const auto why = state.refusal())
          return to_error(*why);
        return state.basis();
      },
      [&state](atom::retain, const retention_settings& settings) { state.set_retention(settings); },
      [&state](atom::tick) { state.tick(); },
      [&state](atom::stop) { return state.stop(); },
  };
}

partition_leader_actor spawn_partition_leader(caf::actor_system& system,
                                              partition_leader_args args) {
  return system.spawn(partition_leader, std::move(args));
}

} // namespace waybill
