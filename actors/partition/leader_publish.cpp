// What a leader does for producers: openings, batches, and their answers once committed.
#include "actors/partition/partition_leader_state.hpp"
#include "storage/records_codec.hpp"

namespace waybill {

void partition_leader_state::answer(const publisher_actor& to, publish_outcome outcome) {
  answers[to].push_back(std::move(outcome));
}

void partition_leader_state::send_answers() {
  for (auto& [publisher, outcomes] : answers)
    self->send(publisher, atom::published_v, std::move(outcomes));
  answers.clear();
}

std::optional<failure> partition_leader_state::no_room() const {
  const auto& node = *args.node;
  if (node.disk_full)
    return failure{ec::disk_full,
                   "the node's disk is nearly full (storage.disk-free-min): make room; "
                   "then the same batch is taken"};
  if (waits.size() >= node.bounds.partitions.waiting_max)
    return failure{ec::overloaded, partition_name(args.topic, args.partition.number) +
                                       " has as many requests waiting as partitions.waiting-max "
                                       "allows; repeat later"};
  if (node.pending_bytes >= node.bounds.storage.pending_bytes_max)
    return failure{ec::overloaded, "as many bytes wait for the node's disk as "
                                   "storage.pending-bytes-max allows; repeat later"};
  return std::nullopt;
}

/// Messages with a time are held in memory each by itself, and in every checkpoint.
std::optional<failure> partition_leader_state::no_room_for_timed(std::uint32_t more) const {
  const auto most = args.node->bounds.delivery.timed_max;
  if (more == 0 || rules->timed_count() + timed_appended + more <= most)
    return std::nullopt;
  return failure{ec::overloaded,
                 partition_name(args.topic, args.partition.number) + " holds " +
                     std::to_string(rules->timed_count() + timed_appended) +
                     " messages that were published with a time, and "
                     "delivery.timed-max allows " +
                     std::to_string(most) +
                     ": repeat when every group has settled some of them (without a "
                     "group none is; `waybill group list` shows who lags) and the topic keeps "
                     "them no longer (`waybill topic describe`)"};
}

void partition_leader_state::publish(const publisher_actor& from, const publish_request& what) {
  publish_outcome refused{what.question, {ec::none, {}}, {}, {}, false};
  const auto refuse = [&](failure why) {
    refused.why = std::move(why);
    answer(from, refused);
    send_answers();
  };
  if (auto why = refusal())
    return refuse(*std::move(why));
  const batch_claim claim{what.producer, what.opened, what.number, what.previous, what.hash};
  const auto verdict = senders->judge(claim);
  if (const auto* why = std::get_if<failure>(&verdict))
    return refuse(*why);
  if (const auto* found = std::get_if<already_committed>(&verdict)) {
    answer(from, {what.question, {ec::none, {}}, found->as.first_offset, found->as.entry, true});
    return send_answers();
  }
  if (const auto* found = std::get_if<already_appended>(&verdict)) {
    waits.at(found->entry).publishers.emplace_back(from, what.question);
    return;
  }
  if (what.refused.code != ec::none)
    return refuse(what.refused);
  if (auto why = no_room())
    return refuse(*std::move(why));
  if (auto why = no_room_for_timed(what.timed))
    return refuse(*std::move(why));
  waiting who;
  who.timed = what.timed;
  timed_appended += what.timed;
  who.publishers.emplace_back(from, what.question);
  who.batch_hash = what.hash;
  senders->appended(claim, append(entry_kind::messages, what.messages, what.body, std::move(who)));
}

caf::result<opened_here> partition_leader_state::open(const std::string& producer,
                                                      std::uint64_t instance, bool take_over) {
  if (auto why = refusal())
    return to_error(*why);
  const auto verdict = senders->judge_opening(producer, instance, take_over);
  if (const auto* why = std::get_if<failure>(&verdict))
    return to_error(*why);
  if (const auto* holder = std::get_if<still_holder>(&verdict))
    return opened_here{holder->opened, senders->last(producer)};
  if (auto why = no_room())
    return to_error(*why);
  const auto& record = std::get<append_opening>(verdict).record;
  auto promise = self->make_response_promise<opened_here>();
  waiting who;
  who.then = [this, promise, record](const failure* why) mutable {
    if (why)
      promise.deliver(to_error(*why));
    else
      promise.deliver(opened_here{record.opened, senders->last(record.producer)});
  };
  append(entry_kind::producer, 0, shared_bytes{encode(record)}, std::move(who));
  senders->appended(record);
  return promise;
}

} // namespace waybill
