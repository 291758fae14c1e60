// Ordered groups: one message of each key at a time, in order of offset, and a key's messages to
// one consumer for as long as it stays. See dispatch.hpp.
//
// The cursor passes every unsettled message once and enters it under its key; what waits for a time
// of its own is entered when that has come, so that it stops nobody. The current message of a key
// goes the way of all messages; the others wait in `keys_` until it is settled.
#include "actors/rules/dispatch.hpp"

#include "storage/assert.hpp"

#include <algorithm>

namespace waybill {
// ---- beginning and ending -----------------------------------------------------------------------

/// From the floor on, with nothing out: the cursor finds everything again.
void dispatch::begin_in_order(const group& g, const moment& now) {
  ordered_ = true;
  cursor_ = g.floor();
  for (auto* const waiting : {&returned_, &come_, &to_start_, &suspects_})
    *waiting = {};
  delayed_ = {};
  for (const auto& [offset, times] : *timed_) {
    if (!g.attempts().contains(offset) && !settling_.contains(offset) && !expired_.contains(offset))
      place(g, offset, now);
  }
}

/// Follows the policy, and finds a place for those whose turn has come. A group becomes ordered
/// when nothing is out any more: nobody knows the keys of what is.
void dispatch::keep_order(const group& g, const moment& now) {
  if (is_switching(g) && ordered_) {
    ordered_ = false;
    auto waiting = keys_.clear();
    for (auto at = g.attempts().lower_bound(cursor_); at != g.attempts().end(); ++at)
      waiting.push_back(at->first); // where the cursor has not come yet
    for (auto& [who, some] : kept_)
      returned_.unite(some);
    kept_.clear();
    for (const auto& range : std::exchange(promoted_, {}).ranges()) {
      for (auto offset = range.first; offset < range.end; offset = after(offset))
        waiting.push_back(offset);
    }
    for (const auto offset : waiting) {
      if (!settling_.contains(offset) && !expired_.contains(offset))
        place(g, offset, now);
    }
  } else if (is_switching(g)) {
    while (!reserved_.empty()) {
      const auto offset = reserved_.begin()->first;
      forget_waiting(offset);
      returned_.add(just(offset));
    }
    if (out_count() == 0)
      begin_in_order(g, now);
  }
  while (!promoted_.empty()) {
    const auto offset = promoted_.first();
    promoted_.remove(just(offset));
    if (!settling_.contains(offset) && !expired_.contains(offset))
      place(g, offset, now);
  }
}

// ---- places -------------------------------------------------------------------------------------

void dispatch::settle_keys(offset_range range) {
  for (const auto offset : keys_.settle(range))
    promoted_.add(just(offset));
  promoted_.remove(range);
  for (auto& [who, some] : kept_)
    some.remove(range);
}

/// What has its turn, and waits for a place or for its key's consumer. @returns whether it did
bool dispatch::forget_in_order(message_offset offset) {
  if (!ordered_)
    return false;
  if (promoted_.remove(just(offset)) > 0)
    return true;
  return std::ranges::any_of(kept_,
                             [&](auto& each) { return each.second.remove(just(offset)) > 0; });
}

/// Whether it has its place by its key: behind another, or where the cursor will come.
bool dispatch::is_placed_by_key(const group& g, message_offset offset) const {
  if (!ordered_ || settling_.contains(offset) || expired_.contains(offset))
    return false;
  if (const auto turn = keys_.turn_of(offset))
    return *turn == key_order::turn::behind;
  const bool waits_for_time = timed_->contains(offset) && !g.attempts().contains(offset);
  return offset >= cursor_ && !waits_for_time;
}

void dispatch::leave_keys(consumer_id who) {
  keys_.release(who);
  if (const auto kept = kept_.extract(who))
    returned_.unite(kept.mapped());
}

// ---- attempts that begin ------------------------------------------------------------------------

/// As far as their keys' consumers have room.
void dispatch::start_in_order(const group& g, gathering& out) {
  for (const auto& range : to_start_.ranges()) {
    for (auto offset = range.first; offset < range.end; offset = after(offset)) {
      if (open_.empty())
        return;
      const bool has_key = keys_.turn_of(offset).has_value();
      const auto holder = has_key ? keys_.holder(offset) : std::nullopt;
      if (holder && !open_.contains(*holder))
        continue;
      const auto who = holder.value_or(next_open());
      to_start_.remove(just(offset));
      begin_attempt(g, out, offset, who);
      if (has_key)
        keys_.hold(offset, who);
    }
  }
}

/// The first that this consumer may have; none: there is none.
std::optional<message_offset> dispatch::suspect_for(consumer_id who) const {
  if (!ordered_)
    return suspects_.first();
  for (const auto& range : suspects_.ranges()) {
    for (auto offset = range.first; offset < range.end; offset = after(offset)) {
      if (!keys_.turn_of(offset) || keys_.holder(offset).value_or(who) == who)
        return offset;
    }
  }
  return std::nullopt;
}

// ---- what goes out ------------------------------------------------------------------------------

/// The lowest of what is ready, or may be: at the cursor, nobody knows yet.
std::optional<message_offset> dispatch::next_in_order(const group& g, message_offset limit) {
  // What has failed before must be found again, also while the group gets nothing new.
  const auto enters = behind_count() > limits_.behind_max ? message_offset{} : limit;
  auto end = enters;
  if (!g.attempts().empty())
    end = std::max(end, after(g.attempts().rbegin()->first));
  for (; cursor_ < end; cursor_ = after(cursor_)) {
    cursor_ = g.settled().first_outside(cursor_);
    if (!timed_->contains(cursor_) || g.attempts().contains(cursor_))
      break;
  }
  std::optional<message_offset> next;
  if (cursor_ < end)
    next = cursor_;
  if (!returned_.empty() && (!next || returned_.first() < *next))
    next = returned_.first();
  // Not before the cursor was there: earlier ones of its key come first.
  if (!come_.empty() && come_.first() < std::min(enters, cursor_) &&
      (!next || come_.first() < *next))
    next = come_.first();
  return next;
}

/// Takes the message out of its place. @returns whether it is its turn; else it has another place
bool dispatch::take_turn(const group& g, message_offset offset, key_number key, const moment& now) {
  const auto one = just(offset);
  const bool has_key = key != key_number{};
  if (returned_.remove(one) > 0)
    return true;
  const bool comes_late = come_.remove(one) > 0;
  if (!comes_late)
    cursor_ = after(offset);
  if (has_key && !keys_.turn_of(offset) && keys_.enter(offset, key) == key_order::turn::behind)
    return false;
  if (comes_late)
    return true;
  if (settling_.contains(one.first) || expired_.contains(one.first))
    return false;
  if (g.attempts().contains(offset)) {
    place(g, offset, now);
    return false;
  }
  return true;
}

/// Makes it the turn (`last_served_`) of whoever gets it: its key's consumer, else the one with the
/// fewest keys.
dispatch::takes dispatch::choose_taker(message_offset offset, key_number key, std::uint64_t size) {
  if (key == key_number{}) {
    const auto who = next_taker(size);
    last_served_ = who.value_or(last_served_);
    return who ? takes::somebody : takes::nobody;
  }
  if (const auto holder = keys_.holder(offset)) {
    if (!fits(consumers_.at(*holder), size))
      return takes::holder_later;
    last_served_ = *holder;
    return takes::somebody;
  }
  std::optional<consumer_id> least;
  for (const auto who : open_) {
    if (fits(consumers_.at(who), size) && (!least || keys_.held_by(who) < keys_.held_by(*least)))
      least = who;
  }
  if (!least)
    return takes::nobody;
  keys_.hold(offset, *least);
  last_served_ = *least;
  return takes::somebody;
}

void dispatch::deliver_in_order(const group& g, message_offset next, const moment& now,
                                const delivery::lookup& look, std::size_t room, run& making,
                                std::set<message_offset>& wanted) {
  for (auto& [who, some] : kept_) {
    const auto& c = consumers_.at(who);
    for (auto free = c.credit_messages - std::min(c.credit_messages, c.held + c.reserved);
         free > 0 && !some.empty() && open_.contains(who); --free) {
      const auto offset = some.first();
      some.remove(just(offset));
      returned_.add(just(offset));
    }
  }
  const auto limit = fresh_limit(g, next);
  while (room > 0 && !open_.empty()) {
    const auto offset = next_in_order(g, limit);
    if (!offset)
      return;
    const auto facts = look(*offset, delivery::wants_key::yes);
    if (!facts) {
      wanted.insert(*offset);
      return;
    }
    const key_number key{facts->key};
    if (!take_turn(g, *offset, key, now))
      continue;
    switch (choose_taker(*offset, key, facts->bytes)) {
    case takes::somebody:
      hand_over(making, last_served_, *offset, attempt_of(g, *offset), facts->bytes);
      --room;
      break;
    case takes::holder_later:
      kept_[*keys_.holder(*offset)].add(just(*offset));
      break;
    case takes::nobody:
      returned_.add(just(*offset));
      return;
    }
  }
}

} // namespace waybill
