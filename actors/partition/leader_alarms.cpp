// What a leader tells people about: what of its partition is near a limit, and groups that are held
// back. Raised as soon as it is so, taken back with the next checkpoint or when the leader ends.
#include "actors/partition/partition_leader_state.hpp"

namespace waybill {

group_gauges::group_gauges(const alarm_way& to, const delivery_limits& limits,
                           const std::string& whose)
    : ranges{to, "delivery.settled-ranges-max", whose, near_limit{limits.settled_ranges_max}},
      waiting{to, "delivery.waiting-max", whose, near_limit{limits.waiting_max}},
      behind{to, "delivery.behind-max", whose, near_limit{limits.behind_max}},
      consumers{to, "delivery.consumers-max", whose, near_limit{limits.consumers_max}},
      held_back{to, "group-held-back", whose, alarm_level::critical} {}

void group_gauges::rose(const group_fill& now) {
  ranges.rose(now.settled_ranges);
  waiting.rose(now.waiting);
  behind.rose(now.behind);
  consumers.rose(now.consumers);
  if (now.held_back && !held_back.is_raised())
    held_back.raise(held_back.subject() +
                    " gets no new messages: " + std::to_string(now.settled_ranges) +
                    " ranges of settled messages, " + std::to_string(now.waiting) +
                    " messages that have failed before or " + std::to_string(now.behind) +
                    " messages behind another of their key are more than "
                    "delivery.settled-ranges-max, delivery.waiting-max or delivery.behind-max "
                    "allows");
}

void group_gauges::look(const group_fill& now) {
  rose(now);
  ranges.look(now.settled_ranges);
  waiting.look(now.waiting);
  behind.look(now.behind);
  consumers.look(now.consumers);
  if (!now.held_back && held_back.is_raised())
    held_back.take_back(held_back.subject() + " gets new messages again");
}

partition_gauges::partition_gauges(const alarm_way& to, const limits& bounds,
                                   const std::string& whose)
    : requests{to, "partitions.waiting-max", whose, near_limit{bounds.partitions.waiting_max}},
      groups{to, "delivery.groups-max", whose, near_limit{bounds.delivery.groups_max}},
      producers{to, "producers.producers-max", whose, near_limit{bounds.producers.producers_max}},
      timed{to, "delivery.timed-max", whose, near_limit{bounds.delivery.timed_max}} {}

void partition_leader_state::begin_gauges() {
  gauges.emplace(alarms_of(*self), args.node->bounds,
                 partition_name(args.topic, args.partition.number));
  look_at_gauges();
}

group_gauges& partition_leader_state::gauges_of(const std::string& group) {
  const auto found = gauges_of_groups.find(group);
  if (found != gauges_of_groups.end())
    return found->second;
  return gauges_of_groups
      .try_emplace(group, alarms_of(*self), args.node->bounds.delivery,
                   partition_name(args.topic, args.partition.number) + ", group " + group)
      .first->second;
}

/// The group may have filled further.
void partition_leader_state::group_rose(const std::string& group) {
  if (const auto now = rules->fill_of(group))
    gauges_of(group).rose(*now);
}

/// Everything as it is now, what has emptied too.
void partition_leader_state::look_at_gauges() {
  gauges->requests.look(waits.size());
  gauges->groups.look(rules->group_count());
  gauges->producers.look(senders->count());
  gauges->timed.look(rules->timed_count());
  std::erase_if(gauges_of_groups,
                [this](const auto& each) { return !rules->has_group(each.first); });
  for (const auto& group : rules->group_names())
    if (const auto now = rules->fill_of(group))
      gauges_of(group).look(*now);
}

/// Bytes of all partitions wait for one disk: whoever sees the edge first tells.
void partition_leader_state::pending_rose(std::uint64_t bytes) {
  const near_limit most{args.node->bounds.storage.pending_bytes_max};
  const auto pending = args.node->pending_bytes += bytes;
  if (most.is_tight(pending) && !args.node->pending_near.exchange(true))
    raise_alarm(*self, near_alarm("storage.pending-bytes-max", {}, most.limit(), pending));
}

} // namespace waybill
