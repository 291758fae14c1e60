// The rules of delivery against the plain reference, over random histories: what is compared.
// `--rng-seed N` begins with that seed.
#include "actors/rules/dispatch.hpp"
#include "delivery_history.hpp"

namespace waybill::bench {

/// Where a message goes that is in nobody's hands.
void history::place(outside& from, const reference_group& g, std::uint64_t o) {
  if (!g.open(o))
    return;
  if (from.overdue.contains(o)) {
    from.expired.insert(o);
    ++seen_.overdue;
    return;
  }
  if (const auto time = not_before(g, o); time > now_.wall) {
    from.waits[o] = now_.steady + (time - now_.wall);
    seen_.waited += g.attempts.contains(o) ? 0 : 1;
  }
}

/// It goes out, or its attempt begins: its time must have come, by a clock that there was.
void history::come_in_time(outside& from, const reference_group& g, std::uint64_t o) {
  if (!from.waits.contains(o))
    return;
  MUST(from.is_loose && not_before(g, o) <= wall_time{now_.steady + wall_ahead_});
  from.waits.erase(o);
}

wall_time history::not_before(const reference_group& g, std::uint64_t o) const {
  if (const auto tries = g.attempts.find(o); tries != g.attempts.end())
    return tries->second.started <= tries->second.failed ? tries->second.not_before : wall_time{};
  const auto timed = ref_.times.find(o);
  return timed == ref_.times.end() ? wall_time{} : timed->second.not_before;
}

/// A message that came with times, and that the leader sees now for the first time.
void history::watch(outside& from, const reference_group& g, std::uint64_t o) {
  if (!g.open(o))
    return;
  if (const auto expires = ref_.times.at(o).expires; expires != wall_time{})
    from.expiring[o] = now_.steady + (expires - now_.wall);
  if (!g.attempts.contains(o))
    place(from, g, o);
}

/// Attempts that wait in a record behind the one that came last: begun, and nobody was told yet.
void history::look_for_begun() {
  for (const auto& each : leader_.out()) {
    auto& from = outside_[each.group];
    from.begun.clear();
    if (!more_gathered_)
      continue;
    const auto& attempts = ref_.groups.at(each.group).attempts;
    for (const auto o : singles(each.leased)) {
      const auto tries = attempts.find(o);
      if (!from.out(o) && tries != attempts.end() && tries->second.started <= tries->second.failed)
        from.begun.insert(o);
    }
  }
}

/// The first proposal of a leader fails what was out, and lets the others wait.
void history::expect_taken_over() {
  look_for_begun();
  for (auto& [name, g] : ref_.groups) {
    auto& from = outside_[name];
    if (!proposed_before_) {
      from = {};
      from.is_loose = g.policy.ordered;
      for (const auto& [o, tries] : g.attempts) {
        seen_.taken_over += tries.started > tries.failed ? 1 : 0;
        if (tries.started > tries.failed || tries.failed >= g.policy.attempts_max) {
          from.settling.insert(o);
          from.gone.insert(o);
        } else if (tries.not_before > now_.wall)
          from.waits[o] = now_.steady + (tries.not_before - now_.wall);
      }
      for (const auto& [o, times] : ref_.times)
        watch(from, g, o);
    }
    if (std::exchange(from.recheck, false)) {
      for (const auto& [o, tries] : g.attempts) {
        if (tries.failed >= g.policy.attempts_max && tries.started <= tries.failed &&
            !from.out(o) && !from.begun.contains(o)) {
          from.settling.insert(o);
          from.gone.insert(o);
          from.waits.erase(o);
        }
      }
    }
    for (std::size_t buried = 0; buried < dispatch::bury_most && !from.expired.empty(); ++buried) {
      from.settling.insert(*from.expired.begin());
      from.gone.insert(*from.expired.begin());
      from.expired.erase(from.expired.begin());
    }
  }
  proposed_before_ = true;
}

bool history::propose_one() {
  if (!leader_.may_propose()) {
    MUST(!leader_.propose(now_, share()));
    return false;
  }
  expect_taken_over();
  auto p = leader_.propose(now_, share());
  more_gathered_ = p.has_value();
  if (!p)
    return false;
  check_proposal(p->record);
  append(std::move(p->record), p->number);
  return true;
}

void history::check_proposal(const delivery_record& r) {
  for (const auto& change : r.groups) {
    const auto& g = ref_.groups.at(change.group);
    auto& from = outside_[change.group];
    for (const auto o : singles(change.acked))
      MUST((from.settling.contains(o) || careless_ || from.was_sought || o < ref_.dropped_below));
    for (const auto& each : change.failed) {
      MUST(from.settling.contains(each.offset.value) || careless_ || from.was_sought);
      MUST(each.attempt < attempts_ceiling_.at(change.group));
    }
    for (const auto& each : change.dead) {
      MUST(from.settling.contains(each.offset.value) || careless_ || from.was_sought);
      MUST(each.attempts <= attempts_ceiling_.at(change.group));
    }
    for (const auto& each : change.started) {
      const auto o = each.offset.value;
      if (!careless_ && !from.was_sought) {
        MUST(g.open(o));
        MUST(!from.held.contains(o) && !from.settling.contains(o));
        come_in_time(from, g, o);
        MUST(each.attempt == g.attempts.at(o).failed + 1);
      }
      // A careless leader may have taken an earlier one's attempt for this one, and sent it.
      if (g.open(o) && !((careless_ || from.was_sought) && from.held.contains(o)))
        from.starting.insert(o);
    }
  }
}

void history::commit_one() {
  const auto& [what, own] = log_.at(applied_++);
  if (const auto* const m = std::get_if<messages_entry>(&what)) {
    const offset_range arrived = range(ref_.next(), ref_.next() + m->many);
    ref_.arrive(m->many, {});
    const auto times = offsets_of(*m, arrived.first.value);
    for (const auto& [o, each] : times)
      ref_.times.emplace(o.value, each);
    leader_.apply_messages(arrived, std::nullopt);
    leader_.apply_times(times, now_);
    follower_.apply_messages(arrived, std::nullopt);
    follower_.apply_times(times, {});
    for (auto& [name, g] : ref_.groups) {
      for (const auto& [o, each] : times) {
        if (proposed_before_)
          watch(outside_[name], g, o.value);
      }
    }
  } else if (const auto* const again = std::get_if<redrive_entry>(&what)) {
    const auto& r = again->record;
    const auto first = ref_.next();
    const auto released = ref_.apply(r);
    for (auto* const each : {&leader_, &follower_}) {
      MUST(each->apply(r) == released);
      if (!r.batch.empty())
        each->apply_messages(range(first, ref_.next()), r.group);
    }
  } else if (const auto* const transfer = std::get_if<transfer_record>(&what)) {
    const log_index at_entry{applied_};
    const auto released = ref_.apply(*transfer, at_entry);
    for (auto* const each : {&leader_, &follower_})
      MUST(each->apply(*transfer, at_entry) == released);
    seen_.transferred += released.size();
    seen_.in_doubt += transfer->action == transfer_action::doubt;
  } else if (const auto* const g = std::get_if<group_record>(&what)) {
    const bool is_new = g->action == group_action::create && !ref_.groups.contains(g->group);
    const auto before =
        ref_.groups.contains(g->group) ? ref_.groups.at(g->group).fates : std::vector<fate>{};
    ref_.apply(*g);
    if (g->action == group_action::seek && ref_.groups.contains(g->group))
      sought(g->group, before);
    if (is_new)
      outside_[g->group].is_loose = g->policy.ordered;
    for (const auto& [o, times] : ref_.times) {
      if (is_new && proposed_before_)
        watch(outside_[g->group], ref_.groups.at(g->group), o);
    }
    leader_.apply(*g, now_);
    follower_.apply(*g, {});
    committed(*g);
  } else if (const auto* const gone = std::get_if<retention_record>(&what)) {
    ref_.apply(*gone);
    leader_.apply(*gone);
    follower_.apply(*gone);
    committed(*gone);
  } else {
    const auto& r = std::get<delivery_record>(what);
    ref_.apply(r);
    leader_.apply(r, own, now_);
    follower_.apply(r, {}, {});
    if (proposed_before_)
      committed(r, own);
  }
}

void history::sought(const std::string& name, const std::vector<fate>& before) {
  const auto& g = ref_.groups.at(name);
  auto& from = outside_[name];
  from.was_sought = true;
  for (std::uint64_t o = 0; o < before.size(); ++o) {
    if (before[o] == fate::open && !g.open(o))
      from.forget(o);
    else if (before[o] != fate::open && g.open(o) && proposed_before_ && ref_.times.contains(o))
      watch(from, g, o);
  }
}

/// Whoever had in hand what is dropped has it no longer.
void history::committed(const retention_record&) {
  for (auto& [name, from] : outside_) {
    for (std::uint64_t o = 0; o < ref_.dropped_below; ++o)
      from.forget(o);
  }
}

void history::committed(const group_record& r) {
  if (r.action == group_action::update) {
    outside_[r.group].recheck = proposed_before_;
    outside_[r.group].holders.clear();
    outside_[r.group].is_loose |= r.policy.ordered;
  }
  if (r.action != group_action::remove)
    return;
  ++seen_.removed;
  outside_.erase(r.group);
  std::vector<consumer_id> ended;
  std::erase_if(consumers_, [&](const auto& each) {
    if (each.second.group != r.group)
      return false;
    ended.push_back(each.first);
    return true;
  });
  MUST(leader_.take_ended() == ended);
}

void history::committed(const delivery_record& r, proposal_number own) {
  for (const auto& change : r.groups) {
    if (!ref_.groups.contains(change.group))
      continue;
    const auto& g = ref_.groups.at(change.group);
    auto& from = outside_[change.group];
    for (const auto o : singles(change.acked))
      from.forget(o);
    for (const auto& each : change.dead)
      from.forget(each.offset.value);
    for (const auto& each : change.started) {
      from.starting.erase(each.offset.value);
      if (g.open(each.offset.value) && !from.out(each.offset.value)) {
        from.waits.erase(each.offset.value);
        if (from.overdue.contains(each.offset.value))
          from.expired.insert(each.offset.value);
      }
    }
    for (const auto& each : change.failed) {
      const auto o = each.offset.value;
      if (!g.open(o))
        continue;
      if (own != proposal_number{})
        from.settling.erase(o);
      if (from.out(o))
        continue;
      from.waits.erase(o);
      place(from, g, o);
    }
  }
}

/// One message of a key at a time, in order, to the one who gets the key's messages.
void history::check_order(const delivery_order& what, const std::string& name) {
  const auto key = key_of(what.offset.value);
  if (key == 0)
    return;
  const auto& g = ref_.groups.at(name);
  auto& from = outside_[name];
  for (std::uint64_t o = 0; o < ref_.next(); ++o) {
    if (o == what.offset.value || key_of(o) != key || !g.open(o))
      continue;
    MUST(!from.out(o) || from.gone.contains(o));
    if (o > what.offset.value)
      continue;
    const auto timed = ref_.times.find(o);
    const bool came_late = timed != ref_.times.end() && !g.attempts.contains(o);
    MUST((came_late || from.overdue.contains(o) || careless_ || from.was_sought));
    ++seen_.passed_over;
  }
  const auto [holder, is_new] = from.holders.emplace(key, what.consumer);
  MUST((is_new || holder->second == what.consumer || !consumers_.contains(holder->second)));
  holder->second = what.consumer;
  ++seen_.in_order;
}

void history::deliver() {
  const auto most = 1 + below(20);
  const auto orders = leader_.deliver(
      now_,
      [&](message_offset o, delivery::wants_key) -> std::optional<delivery::message_facts> {
        MUST(o.value < ref_.next());
        if (chance(20))
          return std::nullopt;
        return delivery::message_facts{static_cast<std::uint32_t>(size_of(o.value)),
                                       key_of(o.value)};
      },
      most);
  MUST(orders.size() <= most);
  MUST(orders.empty() || proposed_before_);
  std::map<std::string, std::uint64_t> reached;
  for (const auto& each : orders) {
    const auto o = each.offset.value;
    const auto& c = consumers_.at(each.consumer);
    const auto& g = ref_.groups.at(c.group);
    auto& from = outside_[c.group];
    MUST(g.open(o)); // acked, dead and for others: never again
    MUST(!from.held.contains(o) && !from.settling.contains(o) && !from.overdue.contains(o));
    // A careless leader takes an earlier one's attempt for the one that it has proposed itself.
    MUST((from.starting.erase(o) == 0 || careless_));
    come_in_time(from, g, o);
    const auto tries = g.attempts.find(o);
    if (tries == g.attempts.end()) {
      MUST(each.attempt == 1);
    } else {
      MUST(each.attempt == tries->second.started);
      MUST(each.attempt > tries->second.failed);
    }
    MUST(each.attempt <= attempts_ceiling_.at(c.group));
    ++(each.attempt == 1 ? seen_.first : seen_.again);
    MUST(!reached.contains(c.group) || o > reached[c.group]);
    reached[c.group] = o;
    std::uint64_t held = 0, bytes = 0;
    for (const auto& [other, by] : from.held) {
      held += by.who == each.consumer ? 1 : 0;
      bytes += by.who == each.consumer ? size_of(other) : 0;
    }
    if (g.policy.ordered)
      check_order(each, c.group);
    MUST(held < c.messages);
    MUST((held == 0 || bytes + size_of(o) <= c.bytes));
    from.held[o] = {each.consumer, each.attempt, now_.steady + g.policy.lease};
  }
  for (const auto o : leader_.wanted())
    MUST(o.value < ref_.next());
}

void history::check_books() {
  const auto views = leader_.views();
  MUST(views.size() == ref_.groups.size());
  for (const auto& v : views) {
    const auto& g = ref_.groups.at(v.group);
    MUST(balances(v));
    seen_.held_back += v.held_back ? 1 : 0;
    MUST(v.counts == g.counts);
    MUST(v.dead_held == g.count(fate::dead));
    MUST(v.ready + v.leased + v.delayed == g.count(fate::open));
  }
}

void history::check_state() {
  MUST(singles(leader_.needed()) == ref_.needed());
  partition_snapshot mine, theirs;
  leader_.snapshot(mine);
  follower_.snapshot(theirs);
  MUST(mine == theirs);
  partition_snapshot restored;
  mine.next_offset = at(ref_.next());
  restored.next_offset = mine.next_offset;
  delivery{limits_, mine}.snapshot(restored);
  MUST(restored == mine);
  MUST(singles(mine.settled_by_all) == ref_.settled_by_all);
  MUST(mine.timed == ref_.timed());
  for (const auto& each : mine.groups) {
    const auto& g = ref_.groups.at(each.group);
    MUST(each.transfers == g.transfers);
    MUST(each.attempts.size() == g.attempts.size());
    for (const auto& [o, tries] : g.attempts) {
      MUST(each.attempts.at(at(o)).failed == tries.failed);
      MUST(each.attempts.at(at(o)).started == tries.started);
    }
    for (const auto& [o, died] : each.dead_letters)
      MUST(g.fates.at(o.value) == fate::dead);
  }
  if (!proposed_before_)
    return;
  for (const auto& each : leader_.out()) {
    const auto& g = ref_.groups.at(each.group);
    const auto& from = outside_[each.group];
    auto leased = singles(each.leased);
    std::set<std::uint64_t> waits;
    for (const auto& [o, due] : from.waits)
      waits.insert(o);
    if (!from.is_loose)
      MUST(singles(each.delayed) == waits);
    for (const auto& [o, by] : from.held)
      MUST(leased.erase(o) == 1);
    for (const auto o : from.settling)
      MUST(leased.erase(o) == 1);
    for (const auto o : from.starting)
      MUST(leased.erase(o) == 1);
    for (const auto o : leased) { // an attempt that is recorded and about to go out
      MUST(g.open(o));
      // Or one that did not fit into the last record, and comes with the next.
      MUST((g.attempts.at(o).started > g.attempts.at(o).failed || more_gathered_));
    }
  }
}

/// With a consumer that acks everything, everything is settled in the end.
void history::drain() {
  while (applied_ < log_.size())
    commit_one();
  for (const auto& [name, g] : ref_.groups) {
    const consumer_id id{++last_id_.value};
    MUST(leader_.join(name, id, "last", 1'000, 1'000'000));
    consumers_.emplace(id, consumer{name, 1'000, 1'000'000});
  }
  const auto unsettled = [&] {
    return std::ranges::any_of(ref_.groups,
                               [](const auto& g) { return g.second.count(fate::open) > 0; });
  };
  for (int round = 0; round < 1'000 && unsettled(); ++round) {
    while (propose_one()) {
    }
    while (applied_ < log_.size())
      commit_one();
    deliver();
    for (auto& [name, from] : outside_) {
      while (!from.held.empty()) {
        const auto [o, by] = *from.held.begin();
        const auto answer = leader_.ack(by.who, ranges{range(o, o + 1)});
        MUST(answer.lost.empty());
        from.held.erase(o);
        from.settling.insert(o);
      }
    }
    pass(50ms);
    check_books();
  }
  MUST(!unsettled());
  check_state();
  for (const auto& v : leader_.views()) {
    seen_.acked += v.counts.acked;
    seen_.dead += v.counts.dead;
    seen_.expired += v.counts.expired;
    seen_.skipped += v.counts.skipped;
    seen_.reopened += v.counts.reopened;
    seen_.dropped += v.counts.dropped_unread;
    seen_.redriven += v.counts.redriven;
    seen_.for_others += v.counts.for_others;
  }
}

TEST_CASE("the rules of delivery do what the plain reference does, whatever happens",
          "[delivery][model]") {
  const std::uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : std::random_device{}();
  sightings seen;
  for (std::uint64_t i = 0; i < 400; ++i) {
    INFO("seed " << seed + i);
    history{seed + i, seen}.run(1'000);
  }
  CAPTURE(seed);
  CHECK(seen.first > 10'000);
  CHECK(seen.again > 1'000);
  CHECK(seen.acked > 5'000);
  CHECK(seen.dead > 500);
  CHECK(seen.redriven > 50);
  CHECK(seen.for_others > 50);
  CHECK(seen.leaders > 500);
  CHECK(seen.held_back > 500);
  CHECK(seen.removed > 50);
  CHECK(seen.taken_over > 50);
  CHECK(seen.waited > 500);
  CHECK(seen.expired > 500);
  CHECK(seen.overdue > 50);
  CHECK(seen.in_order > 5'000);
  CHECK(seen.passed_over > 50);
  CHECK(seen.transferred > 50);
  CHECK(seen.in_doubt > 10);
  CHECK(seen.skipped > 500);
  CHECK(seen.reopened > 500);
  CHECK(seen.dropped > 500);
}

} // namespace waybill::bench
