// What a leader asks a redelivery policy: what becomes of a message that its consumer could not
// process. The rules decide the rest, and whatever is decided is in the record that is committed.
#include "actors/partition/partition_leader_state.hpp"
#include "actors/rules/group.hpp"

namespace waybill {

namespace {

/// Every leader sees it; people are told once.
void tell_late(caf::local_actor& self, extension_slot& policy, bool late) {
  if (policy.late.load(std::memory_order_relaxed) == late || policy.late.exchange(late) == late)
    return;
  raise_alarm(self, {"policy-late", policy.title(), alarm_level::warning,
                     late ? "the " + policy.title() +
                                " did not answer in time: its groups' own "
                                "policies count"
                          : "the " + policy.title() + " answers in time again",
                     late});
}

} // namespace

bool partition_leader_state::ask_policy(const settle_request& what) {
  if (args.node->extensions.slots().empty())
    return false;
  const auto offset = what.ranges.front().first;
  const auto held = rules->held(what.consumer, offset);
  if (!held)
    return false; // it has lost the message, and is told so
  auto* const slot = args.node->extensions.redelivery_of(args.topic, held->group);
  if (!slot)
    return false;
  const auto attempts_max = rules->policy_of(held->group)->attempts_max;
  const auto policy = slot->find<redelivery_actor>();
  if (!policy || held->attempt >= attempts_max)
    return false; // nobody is there, or there is nothing to decide
  auto reason = cut_reason(what.reason, args.node->bounds.delivery.reason_bytes_max);
  const auto weight = sizeof(failed_message) + reason.size();
  const auto question =
      slot->in_hand.hold(std::make_shared<const failed_message>(
                             args.topic, args.partition.number, offset, held->group, held->consumer,
                             std::move(reason), held->attempt, attempts_max, what.span),
                         weight);
  if (!question)
    return false; // it hangs, and keeps what it was asked about
  const auto number = next_judging++;
  judging.emplace(number, judged_nack{what, held->lease});
  self->request(policy, args.node->bounds.extensions.redelivery_timeout, atom::failed_v, question)
      .then(
          [this, number, slot](const redelivery& answer) {
            tell_late(*self, *slot, false);
            settle_failed(number, answer);
          },
          [this, number, slot](const caf::error& why) {
            if (why == caf::sec::request_timeout)
              tell_late(*self, *slot, true);
            settle_failed(number, redelivery::again());
          });
  return true;
}

/// It may have been settled without an answer meanwhile.
void partition_leader_state::settle_failed(std::uint64_t judged, const redelivery& answer) {
  const auto found = judging.extract(judged);
  if (!found || now_is == phase::ended)
    return;
  settle_judged(found.mapped(), answer);
  turn();
}

/// The delivery that was judged may be over meanwhile, by a lease that ran out or by a seek, and
/// its consumer may have the message anew: that one is another, and not what was spoken of.
void partition_leader_state::settle_judged(const judged_nack& judged, const redelivery& answer) {
  const auto& what = judged.said;
  const auto receiver = consumers.find(what.consumer);
  if (receiver == consumers.end())
    return; // its session is gone
  const auto offset = what.ranges.front().first;
  const auto held = rules->held(what.consumer, offset);
  settling result;
  if (held && held->lease == judged.lease)
    result = rules->nack(what.consumer, offset, answer.delay ? answer.delay : what.span,
                         what.reason, now_of(*self), draw(), answer.then);
  else
    result.lost.push_back({offset, after(offset)});
  settled_by(receiver->second, what.question, std::move(result));
}

/// No turn is taken: this consumer is to get nothing more.
void partition_leader_state::settle_unjudged(consumer_id who) {
  std::erase_if(judging, [this, who](const auto& each) {
    if (each.second.said.consumer != who)
      return false;
    settle_judged(each.second, redelivery::again());
    return true;
  });
}

} // namespace waybill
