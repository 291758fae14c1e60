// What a leader tells people about: what of its partition is near a limit, and groups that are held
// back. Raised as soon as it is so, taken back with the next checkpoint or when the leader ends.
#include "actors/node/extension_supervisor.hpp"
#include "actors/partition/partition_leader_state.hpp"

namespace waybill {

group_gauges::group_gauges(const alarm_way& to, const delivery_limits& limits,
                           const std::string& whose)
    : ranges{to, "delivery.settled-ranges-max", whose, near_limit{limits.settled_ranges_max}},
      waiting{to, "delivery.waiting-max", whose, near_limit{limits.waiting_max}},
      behind{to, "delivery.behind-max", whose, near_limit{limits.behind_max}},
      consumers{to, "delivery.consumers-max", whose, near_limit{limits.consumers_max}},
      held_back{to, "group-held-back", whose, alarm_level::critical},
      unread{to, "unread-dropped", whose, alarm_level::critical}, in_doubt{to, "redrive-in-doubt",
                                                                           whose,
                                                                           alarm_level::warning},
      stuck{to, "group-stuck", whose, alarm_level::warning}, growing{to, "dead-letters-growing",
                                                                     whose, alarm_level::warning},
      settling{limits.stuck_after}, letters{limits.dead_letters_alarm} {}

void group_gauges::rose(const group_fill& now) {
  ranges.rose(now.settled_ranges);
  waiting.rose(now.waiting);
  behind.rose(now.behind);
  consumers.rose(now.consumers);
  if (!letters.is_growing() && letters.look(now.dead_held))
    tell_growing(now);
  if (now.held_back && !held_back.is_raised())
    held_back.raise(held_back.subject() +
                    " gets no new messages: " + std::to_string(now.settled_ranges) +
                    " ranges of settled messages, " + std::to_string(now.waiting) +
                    " messages that have failed before or " + std::to_string(now.behind) +
                    " messages behind another of their key are more than "
                    "delivery.settled-ranges-max, delivery.waiting-max or delivery.behind-max "
                    "allows");
  if (now.in_doubt > 0 && !in_doubt.is_raised())
    in_doubt.raise(in_doubt.subject() + " has " + std::to_string(now.in_doubt) +
                   " redrives of which nobody knows whether they arrived: `waybill dlq list` shows "
                   "the dead letters, `waybill dlq redrive` with --again or --give-up decides");
}

void group_gauges::look(const group_fill& now, milliseconds at) {
  rose(now);
  if (letters.look(now.dead_held))
    tell_growing(now);
  if (settling.look({now.settled, now.unsettled, now.due}, at))
    tell_stuck(now, at);
  ranges.look(now.settled_ranges);
  waiting.look(now.waiting);
  behind.look(now.behind);
  consumers.look(now.consumers);
  if (!now.held_back && held_back.is_raised())
    held_back.take_back(held_back.subject() + " gets new messages again");
  if (now.in_doubt == 0 && in_doubt.is_raised())
    in_doubt.take_back(in_doubt.subject() + " has no redrive in doubt any more");
}

void group_gauges::looked(const group_fill& now) {
  if (letters.looked(now.dead_held))
    tell_growing(now);
}

void group_gauges::tell_stuck(const group_fill& now, milliseconds at) {
  if (!settling.is_stuck())
    return stuck.take_back(stuck.subject() + " settles messages again, or has none to settle");
  const auto span = std::chrono::floor<std::chrono::seconds>(at - settling.since());
  stuck.raise("nothing of " + stuck.subject() + " was settled for " + to_string(limit_value{span}) +
              ", though of its " + std::to_string(now.unsettled) + " unsettled messages " +
              std::to_string(now.due - now.leased) + " are ready and " +
              std::to_string(now.leased) + " with consumers, of which there are " +
              std::to_string(now.consumers));
}

void group_gauges::tell_growing(const group_fill& now) {
  if (letters.is_growing())
    growing.raise(growing.subject() + " has " + std::to_string(letters.more()) +
                  " more dead letters than when somebody looked last, and holds " +
                  std::to_string(now.dead_held));
  else
    growing.take_back("somebody has looked at the dead letters of " + growing.subject() +
                      ", or most of the new ones are gone");
}

partition_gauges::partition_gauges(const alarm_way& to, const limits& bounds,
                                   const std::string& whose)
    : requests{to, "partitions.waiting-max", whose, near_limit{bounds.partitions.waiting_max}},
      groups{to, "delivery.groups-max", whose, near_limit{bounds.delivery.groups_max}},
      producers{to, "producers.producers-max", whose, near_limit{bounds.producers.producers_max}},
      timed{to, "delivery.timed-max", whose, near_limit{bounds.delivery.timed_max}},
      unclaimed{to, "unread-dropped", whose, alarm_level::critical} {}

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
  gauges_due.reset();
  const auto at = now_of(*self).steady;
  for (const auto& group : rules->group_names())
    if (const auto now = rules->fill_of(group)) {
      auto& each = gauges_of(group);
      each.look(*now, at);
      if (const auto next = each.settling.next())
        gauges_due = gauges_due ? std::min(*gauges_due, *next) : *next;
    }
}

void partition_leader_state::looked_at_letters(const std::string& group) {
  if (!rules)
    return; // it has not begun
  if (const auto now = rules->fill_of(group))
    gauges_of(group).looked(*now);
}

/// What was committed while this leader leads: what it has read when it began was told before, or
/// its listeners were not there.
void partition_leader_state::tell_listeners(const letter_changes& buried) {
  if (now_is == phase::recovering || args.node->extensions.slots().empty())
    return;
  const auto to = find_role<extension_supervisor_actor>(self->system(), role::extensions);
  for (const auto& each : buried) {
    const auto* put = std::get_if<dead_letter_put>(&each);
    if (!put)
      continue;
    const auto places = args.node->extensions.listeners_of(args.topic, put->group);
    if (places.empty())
      continue;
    const auto what = std::make_shared<const buried_letter>(args.topic, args.partition.number,
                                                            put->group, put->letter);
    for (const auto place : places)
      self->send(to, atom::letter_v, std::uint64_t{place}, what);
  }
}

/// Bytes of all partitions wait for one disk: whoever sees the edge first tells.
void partition_leader_state::pending_rose(std::uint64_t bytes) {
  const near_limit most{args.node->bounds.storage.pending_bytes_max};
  const auto pending = args.node->pending_bytes += bytes;
  if (most.is_tight(pending) && !args.node->pending_near.exchange(true))
    raise_alarm(*self, near_alarm("storage.pending-bytes-max", {}, most.limit(), pending));
}

} // namespace waybill
