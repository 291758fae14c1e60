// A group's clock: leases that run out, what waits for its time, what expires; and messages that
// come with times, or again. See dispatch.hpp.
#include "actors/rules/dispatch.hpp"

#include <algorithm>

namespace waybill {
// ---- time ---------------------------------------------------------------------------------------

void dispatch::tick(const group& g, gathering& out, const moment& now, spread random) {
  end_leases(g, out, now, random);
  while (const auto offset = expiring_.take_due(now.steady))
    expire(g, *offset);
  while (const auto offset = delayed_.take_due(now.steady)) {
    if (g.attempts().contains(*offset))
      ready_to_start(g, *offset);
    else
      ready_at_first(*offset);
  }
}

std::optional<milliseconds> dispatch::next_tick() const {
  std::optional<milliseconds> next;
  if (!deadlines_.empty())
    next = std::get<0>(*deadlines_.begin());
  for (const auto& other : {delayed_.next(), expiring_.next()})
    if (other && (!next || *other < *next))
      next = other;
  return next;
}

/// For its first delivery. In an ordered group others of its key may wait behind it, and it must
/// not wait for what holds the group back.
void dispatch::ready_at_first(message_offset offset) {
  (ordered_ && keys_.turn_of(offset) ? returned_ : come_).add(just(offset));
}

// ---- what expires -------------------------------------------------------------------------------

void dispatch::watch_expiry(message_offset offset, const message_times& times, const moment& now) {
  if (times.expires != wall_time{})
    expiring_.add(offset, now.steady + (times.expires - now.wall));
}

/// What nobody has is buried now; what is out, when it comes back unacknowledged.
void dispatch::expire(const group& g, message_offset offset) {
  const auto one = just(offset);
  overdue_.add(one);
  if (forget_waiting(offset) || is_placed_by_key(g, offset))
    expired_.add(one);
}

/// A few each time: acknowledgements of others go between.
void dispatch::bury_expired(const group& g, gathering& out, const moment& now) {
  for (std::size_t buried = 0; buried < bury_most && !expired_.empty(); ++buried) {
    const auto offset = expired_.first();
    expired_.remove(just(offset));
    const auto found = g.attempts().find(offset);
    auto state = found == g.attempts().end() ? attempts_state{} : found->second;
    state.why = failed_because::expired;
    give_up(g, out, offset, state, now);
  }
}

// ---- what comes --------------------------------------------------------------------------------

void dispatch::arrived(const group& g, message_offset offset, const moment& now) {
  if (!begun_ || g.settled().contains(offset))
    return;
  watch_expiry(offset, timed_->at(offset), now);
  place(g, offset, now);
}

void dispatch::reopened(const group& g, offset_range range, const moment& now) {
  if (!begun_)
    return; // a leader that begins finds them
  come_.add({range.first, std::min(range.end, std::max(range.first, cursor_))});
  for (auto at = timed_->lower_bound(range.first); at != timed_->end() && at->first < range.end;
       ++at) {
    come_.remove(just(at->first));
    watch_expiry(at->first, at->second, now);
    place(g, at->first, now);
  }
}

} // namespace waybill
