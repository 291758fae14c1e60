// A leader's looks at what its topic's retention lets go, or keeps: people are told first, then an
// entry says so.
#include "actors/partition/partition_leader_state.hpp"
#include "actors/rules/gathering.hpp"
#include "storage/records_codec.hpp"

namespace waybill {

void partition_leader_state::set_retention(const retention_settings& settings) {
  args.retention = settings;
  looked_at_retention = {};
  keeper->forget_warning();
  if (now_is == phase::leading && settings.is_off())
    warn_of({});
  turn();
}

/// None: nothing is asked for, and nothing is kept that no longer has to be; or what was found last
/// is still on its way.
std::optional<milliseconds> partition_leader_state::next_look_at_retention() const {
  if (now_is != phase::leading || retention_waiting ||
      (args.retention.is_off() && !rules->kept_from()))
    return std::nullopt;
  if (looked_at_retention == milliseconds{})
    return now_of(*self).steady;
  return looked_at_retention + args.node->bounds.partitions.retention_interval;
}

void partition_leader_state::look_at_retention() {
  const auto now = now_of(*self);
  const auto due = next_look_at_retention();
  if (!due || *due > now.steady)
    return;
  looked_at_retention = now.steady;
  if (args.node->disk_full)
    return; // nobody asked for this entry now, and it could be the one that finds no room
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
  warn_of_unclaimed(endangered_below);
  for (const auto& group : rules->group_names())
    warn(group, endangered_below);
}

/// Also a group that is new, or was sent back, since the last look: at once.
void partition_leader_state::warn(const std::string& group, message_offset endangered_below) {
  const auto unread = rules->unread_below(group, endangered_below);
  auto& alarm = gauges_of(group).unread;
  if (unread > 0 && !alarm.is_raised())
    alarm.raise(alarm.subject() + " has not read " + std::to_string(unread) +
                " messages that the topic's retention drops soon");
  else if (unread == 0 && alarm.is_raised())
    alarm.take_back(alarm.subject() + " has read what the topic's retention drops next");
}

/// Without a group it is nobody's, and goes all the same.
void partition_leader_state::warn_of_unclaimed(message_offset endangered_below) {
  const auto needed = rules->group_count() == 0 ? rules->needed() : std::vector<offset_range>{};
  auto& alarm = gauges->unclaimed;
  const bool is_endangered = !needed.empty() && needed.front().first < endangered_below;
  if (is_endangered && !alarm.is_raised())
    alarm.raise(alarm.subject() +
                " has no group, and the topic's retention drops its messages before " +
                std::to_string(endangered_below.value) + " soon");
  else if (!is_endangered && alarm.is_raised())
    alarm.take_back(alarm.subject() + " has nothing without a group that goes next");
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
