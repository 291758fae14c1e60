// See courier.hpp.
#include "actors/partition/courier.hpp"

#include "actors/partition/redriven_batch.hpp"
#include "actors/session/topic_leaders.hpp"
#include "storage/entry.hpp"
#include "storage/records_codec.hpp"

#include <limits>

namespace waybill {

struct courier_state {
  static inline const char* name = "courier";

  courier_actor::stateful_pointer<courier_state> self;
  courier_args args;
  partition_leader_actor target; ///< none: it is being looked up
  bool waiting = false;          ///< for its answer
  bool armed = false;
  std::uint64_t question = 0;

  [[nodiscard]] milliseconds patience() const { return args.node->bounds.storage.request_timeout; }

  void start(courier_args a) {
    args = std::move(a);
    self->monitor(args.leader);
    go_on();
  }

  void go_on() {
    if (args.batch.empty())
      read_letters();
    else if (!waiting)
      look_up();
  }

  void later() {
    if (!std::exchange(armed, true))
      self->delayed_send(self, look_up_again, atom::tick_v);
  }

  // ---- The batch, made again
  // -----------------------------------------------------------------------

  /// Behind what the writer still has to write: letters that were just made are in the store.
  void read_letters() {
    const auto writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
    const auto failed = [this](const caf::error& error) {
      const auto why = to_failure(error);
      if (why.code != ec::damaged)
        return later();
      tell({transfer_step::doubt,
            {ec::in_doubt, "its dead letters cannot be read: " + why.detail},
            {},
            {}});
    };
    self->request(writer, patience(), atom::record_v, record_list{})
        .then(
            [this, reader, failed](done) {
              self->request(reader, patience(), atom::redrive_v, args.source, args.group,
                            args.what.dead_letters, std::numeric_limits<std::uint64_t>::max())
                  .then([this](const letter_list& letters) { make_batch(*letters); }, failed);
            },
            failed);
  }

  void make_batch(const std::vector<dead_letter>& letters) {
    auto batch = redriven_batch(args.topic, args.source.number, letters);
    if (!batch || hash_of(*batch) != args.what.hash)
      return tell({transfer_step::doubt,
                   {ec::in_doubt, "the batch cannot be made again as it was sent" +
                                      (batch ? std::string{} : ": " + batch.error().detail)},
                   {},
                   {}});
    args.batch = *std::move(batch);
    look_up();
  }

  // ---- The target
  // ---------------------------------------------------------------------------------

  void look_up() {
    look_up_topic(self, args.node, args.what.topic,
                  [this](const topic_ptr& found, const failure* why) {
                    if (found)
                      return send_to(*found);
                    if (why->code != ec::unknown_topic) // nobody was asked yet
                      return later();
                    take(judge_transfer(why->code, args.known), *why);
                  });
  }

  void send_to(const topic_view& found) {
    const auto number = args.what.target.number;
    if (found.id != args.what.target.topic)
      return take(
          judge_transfer(ec::unknown_topic, args.known),
          {ec::unknown_topic, "the topic \"" + args.what.topic +
                                  "\" was deleted; the one that has its name now is another"});
    const auto& place = found.partitions.at(number);
    if (!place.leader)
      return later();
    target = place.leader;
    if (target != args.leader) // which is watched already
      self->monitor(target);
    waiting = true;
    const auto checked = static_cast<std::uint32_t>(args.what.dead_letters.size());
    const auto producer = transfer_producer(args.source);
    self->send(target, atom::publish_v, caf::actor_cast<publisher_actor>(self),
               publish_request{++question, producer, args.what.opened, args.what.number,
                               args.what.previous, args.what.hash, checked, 0,
                               encode_publish_body({producer, args.what.opened, args.what.number,
                                                    args.what.previous, args.batch})});
  }

  void published(const publish_outcomes& outcomes) {
    for (const auto& each : outcomes) {
      if (!waiting || each.question != question)
        continue;
      let_go();
      const auto verdict = judge_transfer(each.why.code, args.known);
      if (verdict.next == transfer_step::done)
        return tell({verdict.next, {ec::none, {}}, each.first, each.entry});
      take(verdict, each.why);
    }
  }

  void let_go() {
    waiting = false;
    if (target != args.leader)
      self->demonitor(target.address());
    target = partition_leader_actor{};
  }

  void down(const caf::down_msg& down) {
    if (down.source == args.leader.address())
      return self->quit();
    if (!waiting || down.source != target.address())
      return;
    let_go();
    args.known = judge_lost_answer().known;
    later();
  }

  void take(const transfer_verdict& verdict, const failure& why) {
    args.known = verdict.known;
    if (verdict.next == transfer_step::repeat)
      return later();
    tell({verdict.next, why, {}, {}});
  }

  void tell(carried what) {
    self->send(args.leader, atom::carried_v, args.begun, std::move(what));
    self->quit();
  }
};

static courier_actor::behavior_type courier(courier_actor::stateful_pointer<courier_state> self,
                                            courier_args args) {
  auto& state = self->state;
  state.self = self;
  self->set_down_handler([&state](const caf::down_msg& down) { state.down(down); });
  state.start(std::move(args));
  return {
      [&state](atom::published, const publish_outcomes& outcomes) { state.published(outcomes); },
      [&state](atom::tick) {
        state.armed = false;
        state.go_on();
      },
  };
}

courier_actor spawn_courier(caf::actor_system& system, courier_args args) {
  return system.spawn(courier, std::move(args));
}

} // namespace waybill
