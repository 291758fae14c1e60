// A random history, step by step: see the header.
#include "delivery_history.hpp"

namespace waybill::bench {

void history::step() {
  switch (below(16)) {
  case 0:
  case 1:
    if (ref_.next() < 150)
      append(some_messages());
    return;
  case 2:
    return groups_step();
  case 3:
  case 4:
    return consumer_step();
  case 5:
  case 6:
  case 7:
  case 8:
    if (const auto who = some_consumer())
      settle_step(*who);
    return;
  case 9:
    return redrive_step();
  case 10:
    now_.wall += milliseconds{chance(3) ? static_cast<std::int64_t>(below(2'000)) - 1'000 : 0};
    wall_ahead_ = std::max(wall_ahead_, now_.wall.time_since_epoch() - now_.steady);
    return pass(milliseconds{below(80)});
  case 11:
  case 12:
    while (applied_ < log_.size() && !chance(8))
      commit_one();
    return;
  case 13:
    while (propose_one() && !chance(4)) {
    }
    return;
  case 14:
    return deliver();
  default:
    if (chance(12))
      change_leader();
    else if (chance(6))
      retention_step();
    else if (chance(4)) {
      saved_ = {};
      leader_.snapshot(saved_);
      saved_.next_offset = at(ref_.next());
      saved_at_ = applied_;
    }
  }
}

messages_entry history::some_messages() {
  messages_entry some{1 + below(8)};
  if (!chance(3))
    return some;
  for (std::uint64_t i = 0; i < some.many; ++i) {
    const auto soon = [&] { return now_.wall + milliseconds{below(600)}; };
    if (const auto kind = below(4); kind != 0)
      some.times[i] = {kind & 1 ? soon() : wall_time{}, kind & 2 ? soon() : wall_time{}};
  }
  return some;
}

void history::groups_step() {
  const auto group = some_group();
  group_record r{group_action::create, group, some_policy(),
                 at(chance(2) ? 0 : below(ref_.next() + 3))};
  if (leader_.has_group(group)) {
    if (chance(3))
      r.action = chance(3) ? group_action::remove : group_action::update;
    else if (chance(6))
      r.action = group_action::seek;
    else
      return;
  }
  auto& ceiling = attempts_ceiling_[group];
  if (r.action == group_action::create || r.action == group_action::update)
    ceiling = std::max(ceiling, r.policy.attempts_max);
  append(r);
  leader_.appended(r);
}

/// Far behind the log's end, at its end, and at times nowhere; kept from before and behind.
void history::retention_step() {
  retention_record r{at(std::max(ref_.dropped_below, below(ref_.next() + 4))), {}};
  if (chance(3))
    r.dropped_below = at(ref_.dropped_below);
  if (!chance(3))
    r.kept_from = at(std::max(ref_.kept_from.value_or(0), below(ref_.next() + 4)));
  append(r);
}

void history::consumer_step() {
  const auto who = some_consumer();
  if (!who || consumers_.size() < 4) {
    const auto group = some_group();
    const consumer_id id{++last_id_.value};
    const consumer c{group, below(12), below(200)};
    const auto joined =
        leader_.join(group, id, "somebody", static_cast<std::uint32_t>(c.messages), c.bytes);
    MUST(static_cast<bool>(joined) == leader_.has_group(group));
    if (joined)
      consumers_.emplace(id, c);
    return;
  }
  auto& c = consumers_.at(*who);
  if (chance(2)) {
    c.messages = below(12);
    c.bytes = below(200);
    leader_.set_credit(*who, static_cast<std::uint32_t>(c.messages), c.bytes);
    if (c.messages == 0)
      std::erase_if(outside_[c.group].holders,
                    [&](const auto& each) { return each.second == *who; });
    return;
  }
  const auto how = chance(2) ? leaving::closed : leaving::vanished;
  leader_.leave(*who, how, now_);
  auto& from = outside_[c.group];
  std::erase_if(from.held, [&](const auto& each) {
    if (each.second.who != *who)
      return false;
    if (how == leaving::vanished)
      from.settling.insert(each.first);
    else
      give_back(from, each.first);
    return true;
  });
  consumers_.erase(*who);
}

void history::settle_step(consumer_id who) {
  auto& from = outside_[consumers_.at(who).group];
  ranges said{some_range()};
  if (chance(3))
    said.push_back(some_range());
  const auto kind = below(6); // 0 nack, 1 give back, 2 extend, else ack
  if (kind == 0)
    said = {range(said[0].first.value, said[0].first.value + 1)};
  const auto lease = milliseconds{chance(3) ? 0 : 1 + below(300)};
  std::vector<std::uint64_t> lost;
  bool any = false;
  for (const auto& each : said) {
    for (auto o = each.first.value; o < each.end.value; ++o) {
      const auto found = from.held.find(o);
      if (found == from.held.end() || found->second.who != who) {
        // An extended message is still held: said twice, it is passed over the second time alone.
        lost.push_back(o);
        continue;
      }
      any = true;
      if (kind == 2) {
        found->second.until =
            now_.steady +
            (lease == 0ms ? ref_.groups.at(consumers_.at(who).group).policy.lease : lease);
        continue;
      }
      from.held.erase(found);
      if (kind == 1)
        give_back(from, o);
      else
        from.settling.insert(o);
    }
  }
  settling answer;
  if (kind == 0)
    answer = leader_.nack(who, said[0].first,
                          chance(2) ? std::nullopt : std::optional{milliseconds{below(100)}},
                          "because", now_, share());
  else if (kind == 1)
    answer = leader_.give_back(who, said);
  else if (kind == 2)
    answer = leader_.extend(who, said, lease, now_);
  else
    answer = leader_.ack(who, said);
  std::vector<std::uint64_t> answered;
  for (const auto& each : answer.lost) {
    for (auto o = each.first.value; o < each.end.value; ++o)
      answered.push_back(o);
  }
  if (kind == 2 && said.size() == 2) // a piece said twice is held and not held at once
    MUST(answered.size() >= lost.size());
  else
    MUST(answered == lost);
  MUST((answer.answered_by.value != 0) == (any && kind != 1 && kind != 2));
}

void history::redrive_step() {
  const auto name = some_group();
  if (!ref_.groups.contains(name))
    return;
  const auto& g = ref_.groups.at(name);
  if (chance(2))
    return transfer_step(name, g);
  redrive_record r{name, {}, chance(3) ? "" : "batch"};
  for (std::uint64_t o = 0; o < g.fates.size(); ++o) {
    if (g.fates[o] == fate::dead && chance(2))
      r.dead_letters.push_back(at(o));
  }
  if (!r.dead_letters.empty() && ref_.next() < 250)
    append(redrive_entry{std::move(r)});
}

/// One begins, perhaps with letters that are not free; or one goes on, perhaps none that is there.
void history::transfer_step(const std::string& name, const reference_group& g) {
  transfer_record r;
  r.group = name;
  if (!g.transfers.empty() && !chance(3)) {
    r.action = static_cast<transfer_action>(2 + below(3));
    r.begun = std::next(g.transfers.begin(), static_cast<std::ptrdiff_t>(below(g.transfers.size())))
                  ->first;
    r.reason = "because";
  } else {
    for (std::uint64_t o = 0; o < g.fates.size(); ++o)
      if (g.is_free(at(o)) ? chance(2) : chance(100))
        r.what.dead_letters.push_back(at(o));
    r.what.topic = "elsewhere";
    if (r.what.dead_letters.empty())
      return;
  }
  append(std::move(r));
}

/// Its time has come: what nobody has is to be buried.
bool history::expire(outside& from) {
  return std::erase_if(from.expiring, [&](const auto& each) {
           const auto [o, when] = each;
           if (when > now_.steady)
             return false;
           from.overdue.insert(o);
           if (!from.out(o) && !from.begun.contains(o)) {
             from.waits.erase(o);
             from.expired.insert(o);
           }
           return true;
         }) > 0;
}

void history::give_back(outside& from, std::uint64_t o) {
  if (from.overdue.contains(o))
    from.expired.insert(o);
}

void history::pass(milliseconds time) {
  now_.steady += time;
  now_.wall += time;
  look_for_begun();
  const auto due = leader_.next_tick();
  leader_.tick(now_, share());
  bool any = false;
  bool loose = false;
  for (auto& [name, from] : outside_) {
    any = std::erase_if(from.held,
                        [&](const auto& each) {
                          if (each.second.until > now_.steady)
                            return false;
                          from.settling.insert(each.first);
                          return true;
                        }) > 0 ||
          any;
    any = expire(from) || any;
    const auto waited =
        std::erase_if(from.waits, [&](const auto& each) { return each.second <= now_.steady; });
    any = (waited > 0 && !from.is_loose) || any;
    loose = loose || from.is_loose;
  }
  const bool was_due = due && *due <= now_.steady;
  MUST((any == was_due || (loose && was_due)));
}

void history::change_leader() {
  // What is not committed is lost, or not; what is may be replayed on an older snapshot.
  log_.resize(applied_ + below(log_.size() - applied_ + 1));
  for (auto& each : log_)
    each.own = {};
  leader_ = delivery{limits_, saved_};
  auto next = saved_.next_offset.value;
  for (auto i = saved_at_; i < applied_; ++i) {
    const auto& what = log_[i].what;
    if (const auto* const m = std::get_if<messages_entry>(&what)) {
      leader_.apply_messages(range(next, next + m->many), std::nullopt);
      leader_.apply_times(offsets_of(*m, next), {});
      next += m->many;
    } else if (const auto* const again = std::get_if<redrive_entry>(&what)) {
      leader_.apply(again->record);
      if (!again->record.batch.empty()) {
        const auto many = again->record.dead_letters.size();
        leader_.apply_messages(range(next, next + many), again->record.group);
        next += many;
      }
    } else if (const auto* const transfer = std::get_if<transfer_record>(&what)) {
      leader_.apply(*transfer, log_index{i + 1});
    } else if (const auto* const g = std::get_if<group_record>(&what)) {
      leader_.apply(*g, {});
    } else if (const auto* const gone = std::get_if<retention_record>(&what)) {
      leader_.apply(*gone);
    } else {
      leader_.apply(std::get<delivery_record>(what), {}, {});
    }
  }
  ++seen_.leaders;
  consumers_.clear();
  outside_.clear();
  proposed_before_ = more_gathered_ = false;
  const auto tail = std::span{log_}.subspan(applied_);
  const bool groups_change = std::ranges::any_of(tail, [](const auto& each) {
    return std::holds_alternative<group_record>(each.what) ||
           std::holds_alternative<retention_record>(each.what);
  });
  while (applied_ < log_.size() && (!careless_ || groups_change))
    commit_one();
}

} // namespace waybill::bench
