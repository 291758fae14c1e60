// A leader's looks at what its topic's retention lets go, or keeps: people are told first, then an
// entry says so.
#include "actors/partition/partition_leader_state.hpp"
#include "actors/rules/gathering.hpp"
#include "storage/records_codec.hpp"

namespace waybill {

void partition_leader_state::set_retention(const retention_settings& settings) {
  args.retention = settings;
  looked_at_retention = {};
  turn();
}

/// None: nothing is asked for, and nothing is kept that no longer has to be.
std::optional<milliseconds> partition_leader_state::next_look_at_retention() const {
  if (now_is != phase::leading || (args.retention.is_off() && !rules->kept_from()))
    return std::nullopt;
  if (looked_at_retention == milliseconds{})
    return now_of(*self).steady;
  return looked_at_retention + args.node->bounds.partitions.retention_interval;
}

void partition_leader_state::look_at_retention() {
  const auto now = now_of(*self);
  const auto due = next_look_at_retention();
  if (!due || *due > now.steady || retention_waiting)
    return;
  looked_at_retention = now.steady;
  const auto seen = keeper->look(args.retention, rules->kept_from(), now.wall);
  warn_of(seen.endangered_below);
  if (!seen.change)
    return;
  retention_waiting = true;
  waiting who;
  who.then = [this](const failure*) { retention_waiting = false; };
  append(entry_kind::retention, 0, shared_bytes{encode(*seen.change)}, std::move(who));
}

void partition_leader_state::warn_of(message_offset endangered_below) {
  for (const auto& group : rules->group_names()) {
    const auto unread = rules->unread_below(group, endangered_below);
    auto& alarm = gauges_of(group).unread;
    if (unread > 0 && !alarm.is_raised())
      alarm.raise(alarm.subject() + " has not read " + std::to_string(unread) +
                  " messages that the topic's retention drops soon");
    else if (unread == 0 && alarm.is_raised())
      alarm.take_back(alarm.subject() + " has read what the topic's retention drops next");
  }
}

/// What was to become of messages that are dropped is over.
void partition_leader_state::apply_retention(const retention_record& record) {
  rules->apply(record);
  if (!filling)
    return;
  for (auto& changes : filling->record.groups)
    forget_below(changes, record.dropped_below);
}

} // namespace waybill
