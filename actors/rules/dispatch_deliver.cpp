// What goes out to whom: attempts that begin, turns between consumers, leases that begin. See
// dispatch.hpp.
#include "actors/rules/dispatch.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <iterator>

namespace waybill {
/// Neighbours for one consumer, not yet a lease; and the orders of this round.
struct dispatch::run {
  const group_policy& policy;
  const moment& now;
  std::vector<delivery_order>& orders;
  consumer_id who;
  message_offset first;
  std::uint32_t attempt = 0;
  std::vector<std::uint64_t> sums; ///< empty: nothing is being put together
};

bool dispatch::held_back(const group& g) const {
  return g.settled_ranges() > settled_ranges_max() || g.attempts().size() > limits_.waiting_max ||
         behind_count() > limits_.behind_max;
}

// ---- attempts that begin ------------------------------------------------------------------------

void dispatch::prepare(const group& g, gathering& out, const moment& now) {
  keep_order(g, now);
  if (recheck_) {
    recheck_ = false;
    for (const auto& [offset, state] : g.attempts()) {
      const bool waits = delayed_.contains(offset) || to_start_.contains(offset) ||
                         suspects_.contains(offset) ||
                         (state.started <= state.failed && is_placed_by_key(g, offset));
      if (!waits || state.failed < g.policy().attempts_max)
        continue;
      forget_waiting(offset);
      give_up(g, out, offset, state, now);
    }
  }
  bury_expired(g, out, now);
  if (is_switching(g))
    return;
  begin_suspects(g, out);
  if (ordered_)
    return start_in_order(g, out);
  while (!to_start_.empty() && !open_.empty()) {
    const auto offset = to_start_.first();
    to_start_.remove(just(offset));
    begin_attempt(g, out, offset, next_open());
  }
}

/// What failed twice or more, the last time because its consumer vanished, or has one attempt left
/// after that, may be what consumers die of. Nobody can tell it from its neighbours, which were in
/// the same hands. So from here on each of them is in different ones, and only what kills fails.
void dispatch::ready_to_start(const group& g, message_offset offset) {
  constexpr std::uint32_t failures = 2; // a single one may be the network's
  const auto found = g.attempts().find(offset);
  const bool suspect =
      found != g.attempts().end() && found->second.why == failed_because::disconnected &&
      (found->second.failed >= failures || found->second.failed + 1 >= g.policy().attempts_max);
  (suspect ? suspects_ : to_start_).add(just(offset));
}

/// To each consumer with room that has none in hand, one.
void dispatch::begin_suspects(const group& g, gathering& out) {
  if (suspects_.empty())
    return; // the common case, at no cost
  const std::vector<consumer_id> takers{open_.begin(), open_.end()};
  for (const auto who : takers) {
    if (suspects_.empty())
      return;
    const auto last = suspected_.find(who);
    if (last != suspected_.end() && has(who, last->second))
      continue;
    const auto offset = suspect_for(who);
    if (!offset)
      continue;
    suspects_.remove(just(*offset));
    suspected_[who] = *offset;
    begin_attempt(g, out, *offset, who);
    if (ordered_ && keys_.turn_of(*offset))
      keys_.hold(*offset, who);
  }
}

void dispatch::begin_attempt(const group& g, gathering& out, message_offset offset,
                             consumer_id who) {
  starting_.emplace(offset, who);
  auto& c = consumers_.at(who);
  ++c.reserved;
  refresh(who, c);
  last_served_ = who;
  out.start(g.name(), {.offset = offset, .attempt = g.attempts().at(offset).failed + 1});
}

/// Whether a consumer holds a message, or is about to.
bool dispatch::has(consumer_id who, message_offset offset) const {
  if (const auto found = starting_.find(offset); found != starting_.end())
    return found->second == who;
  if (const auto found = reserved_.find(offset); found != reserved_.end())
    return found->second == who;
  const auto& leases = consumers_.at(who).leases;
  const auto at = leases.upper_bound(offset);
  return at != leases.end() && at->second.first <= offset;
}

// ---- turns --------------------------------------------------------------------------------------

/// The one whose turn it is. @pre somebody can take a message
consumer_id dispatch::next_open() const {
  const auto next = open_.upper_bound(last_served_);
  return next != open_.end() ? *next : *open_.begin();
}

bool dispatch::fits(const consumer& c, std::uint64_t size) {
  return c.held + c.reserved < c.credit_messages &&
         (c.held == 0 || c.bytes + size <= c.credit_bytes);
}

/// The first in turn that has room for a message of this size.
std::optional<consumer_id> dispatch::next_taker(std::uint64_t size) const {
  auto at = open_.upper_bound(last_served_);
  for (std::size_t tried = 0; tried < open_.size(); ++tried, ++at) {
    if (at == open_.end())
      at = open_.begin();
    if (fits(consumers_.at(*at), size))
      return *at;
  }
  return std::nullopt;
}

// ---- leases that begin --------------------------------------------------------------------------

void dispatch::hand_over(run& making, consumer_id who, message_offset offset, std::uint32_t attempt,
                         std::uint64_t size) {
  const bool goes_on = !making.sums.empty() && making.who == who && making.attempt == attempt &&
                       making.first.value + making.sums.size() - 1 == offset.value;
  if (!goes_on) {
    close_run(making);
    making.who = who;
    making.first = offset;
    making.attempt = attempt;
    making.sums = {0};
  }
  making.sums.push_back(making.sums.back() + size);
  making.orders.push_back({.consumer = who, .offset = offset, .attempt = attempt});
  auto& c = consumers_.at(who);
  ++c.held;
  ++held_;
  c.bytes += size;
  refresh(who, c);
}

void dispatch::close_run(run& making) {
  if (making.sums.empty())
    return;
  const message_offset end{making.first.value + making.sums.size() - 1};
  const auto until = making.now.steady + making.policy.lease;
  consumers_.at(making.who)
      .leases.emplace(end, lease{.first = making.first,
                                 .attempt = making.attempt,
                                 .until = until,
                                 .delivered = making.now.wall,
                                 .sums = std::make_shared<const std::vector<std::uint64_t>>(
                                     std::exchange(making.sums, {})),
                                 .base = making.first});
  deadlines_.emplace(until, making.who, end);
}

/// First deliveries end here: at the log's end; and with too much that is stuck, at the last
/// settled message, so that gaps can close and none can open.
message_offset dispatch::fresh_limit(const group& g, message_offset next) const {
  if (g.attempts().size() > limits_.waiting_max)
    return message_offset{};
  if (g.settled_ranges() > settled_ranges_max())
    return std::min(next, g.settled().end());
  return next;
}

/// The next messages for a first delivery, up to the next that is settled, has failed before or
/// came with a time. Those are not passed over: each is in a place of its own.
offset_range dispatch::next_fresh(const group& g, message_offset limit) {
  while (true) {
    const auto candidate = g.settled().first_outside(cursor_);
    if (candidate >= limit)
      return {limit, limit};
    cursor_ = candidate;
    const auto failed = g.attempts().lower_bound(cursor_);
    const auto timed = timed_->lower_bound(cursor_);
    auto end = limit;
    if (failed != g.attempts().end())
      end = std::min(end, failed->first);
    if (timed != timed_->end())
      end = std::min(end, timed->first);
    if (end == cursor_) {
      cursor_ = after(cursor_);
      continue;
    }
    if (const auto settled = g.settled().first_inside(cursor_))
      end = std::min(end, *settled);
    return {cursor_, end};
  }
}

/// Attempts that are recorded by now, to those whom they were meant for; where one has no room any
/// more, to anybody. @returns false: a size is missing, the group stops here
bool dispatch::deliver_reserved(const delivery::lookup& look, std::size_t& room, run& making,
                                const group& g, std::set<message_offset>& wanted) {
  while (!reserved_.empty() && room > 0) {
    const auto [offset, who] = *reserved_.begin();
    const auto facts = look(offset, delivery::wants_key::no);
    if (!facts) {
      wanted.insert(offset);
      return false;
    }
    forget_waiting(offset); // its place is free again, for itself
    if (!fits(consumers_.at(who), facts->bytes)) {
      returned_.add(just(offset));
      continue;
    }
    if (ordered_ && keys_.turn_of(offset))
      keys_.hold(offset, who);
    hand_over(making, who, offset, g.attempts().at(offset).started, facts->bytes);
    --room;
  }
  return true;
}

/// Which delivery the next one is.
std::uint32_t dispatch::attempt_of(const group& g, message_offset offset) {
  const auto found = g.attempts().find(offset);
  if (found == g.attempts().end())
    return 1;
  WAYBILL_ASSERT(found->second.started > found->second.failed); // recorded before it is sent
  return found->second.started;
}

/// The lowest of what is ready; none: nothing is.
std::optional<message_offset> dispatch::next_ready(offset_range fresh, message_offset limit) const {
  std::optional<message_offset> next;
  if (fresh.first < fresh.end)
    next = fresh.first;
  if (!returned_.empty() && (!next || returned_.first() < *next))
    next = returned_.first();
  if (!come_.empty() && come_.first() < limit && (!next || come_.first() < *next))
    next = come_.first();
  return next;
}

/// What is ready, in order of offset: in turns of neighbours, an even share for each consumer.
void dispatch::deliver_ready(const group& g, message_offset next, const delivery::lookup& look,
                             std::size_t room, run& making, std::set<message_offset>& wanted) {
  const auto limit = fresh_limit(g, next);
  const auto waiting = g.unsettled(next) - out_count() - delayed_.size();
  std::uint64_t share = 0; // set below, once somebody can take
  std::uint64_t left = 0;  // of the share of the one whose turn it is
  offset_range fresh = next_fresh(g, limit);
  while (room > 0 && !open_.empty()) {
    if (share == 0)
      share = std::max<std::uint64_t>(
          1, (std::min<std::uint64_t>(room, waiting) + open_.size() - 1) / open_.size());
    if (fresh.first >= fresh.end && cursor_ < limit)
      fresh = next_fresh(g, limit);
    const auto ready = next_ready(fresh, limit);
    if (!ready)
      return;
    const auto offset = *ready;
    const auto facts = look(offset, delivery::wants_key::no);
    if (!facts) {
      wanted.insert(offset);
      return;
    }
    if (left == 0 || !fits(consumers_.at(last_served_), facts->bytes)) {
      const auto taker = next_taker(facts->bytes);
      if (!taker)
        return;
      last_served_ = *taker;
      left = share;
    }
    const auto one = just(offset);
    if (fresh.first < fresh.end && offset == fresh.first) {
      fresh.first = cursor_ = after(offset);
    } else if (come_.remove(one) == 0) {
      returned_.remove(one);
    }
    hand_over(making, last_served_, offset, attempt_of(g, offset), facts->bytes);
    --left;
    --room;
  }
}

void dispatch::deliver(const group& g, message_offset next, const moment& now,
                       const delivery::lookup& look, std::size_t most,
                       std::vector<delivery_order>& orders, std::set<message_offset>& wanted) {
  if (!begun_ || most == 0)
    return;
  keep_order(g, now);
  if (is_switching(g))
    return;
  const auto before = static_cast<std::ptrdiff_t>(orders.size());
  run making{.policy = g.policy(),
             .now = now,
             .orders = orders,
             .who = {},
             .first = {},
             .attempt = 0,
             .sums = {}};
  const bool any_out_of_order = ordered_ || !reserved_.empty();
  std::size_t room = most;
  if (deliver_reserved(look, room, making, g, wanted)) {
    if (ordered_)
      deliver_in_order(g, next, now, look, room, making, wanted);
    else
      deliver_ready(g, next, look, room, making, wanted);
  }
  close_run(making);
  if (any_out_of_order)
    std::ranges::sort(orders.begin() + before, orders.end(), {}, &delivery_order::offset);
}

} // namespace waybill
