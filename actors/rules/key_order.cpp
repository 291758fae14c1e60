// The turns of a key's messages: see the header.
#include "actors/rules/key_order.hpp"

#include "storage/assert.hpp"

#include <utility>

namespace waybill {
key_order::turn key_order::enter(message_offset offset, key_number key) {
  WAYBILL_ASSERT(key != key_number{} && !turn_of(offset));
  auto& state = keys_[key];
  wake(state);
  if (!state.current) {
    state.current = offset;
    current_.emplace(offset, key);
    return turn::current;
  }
  state.behind.add(just(offset));
  behind_.emplace(offset, key);
  return turn::behind;
}

std::optional<key_order::turn> key_order::turn_of(message_offset offset) const {
  if (current_.contains(offset))
    return turn::current;
  return behind_.contains(offset) ? std::optional{turn::behind} : std::nullopt;
}

std::vector<message_offset> key_order::settle(offset_range range) {
  for (auto at = behind_.lower_bound(range.first); at != behind_.end() && at->first < range.end;) {
    keys_.at(at->second).behind.remove(just(at->first));
    at = behind_.erase(at);
  }
  std::vector<message_offset> next;
  for (auto at = current_.lower_bound(range.first);
       at != current_.end() && at->first < range.end;) {
    const auto key = keys_.find(at->second);
    auto& state = key->second;
    at = current_.erase(at);
    state.current.reset();
    if (state.behind.empty()) {
      rest(key);
      continue;
    }
    // Nothing behind lies in the range any more, so what comes into `current_` is not met again.
    state.current = state.behind.first();
    state.behind.remove(just(*state.current));
    behind_.erase(*state.current);
    current_.emplace(*state.current, key->first);
    next.push_back(*state.current);
  }
  return next;
}

std::vector<message_offset> key_order::clear() {
  std::vector<message_offset> behind;
  for (const auto& [offset, key] : behind_)
    behind.push_back(offset);
  *this = key_order{idle_keys_max_};
  return behind;
}

// ---- whose keys they are ------------------------------------------------------------------------

key_number key_order::key_of(message_offset offset) const {
  const auto found = current_.find(offset);
  return found != current_.end() ? found->second : behind_.at(offset);
}

std::optional<consumer_id> key_order::holder(message_offset offset) const {
  return keys_.at(key_of(offset)).holder;
}

void key_order::hold(message_offset offset, consumer_id who) {
  auto& state = keys_.at(key_of(offset));
  if (state.holder == who)
    return;
  let_go(state);
  state.holder = who;
  ++held_[who];
}

void key_order::let_go(key_state& of) {
  if (!of.holder)
    return;
  const auto count = held_.find(*of.holder);
  if (--count->second == 0)
    held_.erase(count);
  of.holder.reset();
}

void key_order::release(consumer_id who) {
  if (!held_.contains(who))
    return;
  for (auto& [key, state] : keys_) {
    if (state.holder == who)
      let_go(state);
  }
}

std::uint64_t key_order::held_by(consumer_id who) const {
  const auto found = held_.find(who);
  return found == held_.end() ? 0 : found->second;
}

// ---- keys without messages ----------------------------------------------------------------------

void key_order::rest(keys::iterator key) {
  key->second.idle_since = ++rests_;
  idle_.emplace(rests_, key->first);
  if (idle_.size() <= idle_keys_max_)
    return;
  const auto oldest = keys_.find(idle_.begin()->second);
  let_go(oldest->second);
  keys_.erase(oldest);
  idle_.erase(idle_.begin());
}

void key_order::wake(key_state& key) {
  if (const auto since = std::exchange(key.idle_since, 0); since != 0)
    idle_.erase(since);
}

} // namespace waybill
