// The leader's half of a group: consumers, leases, settling. See the header; what goes out to whom
// is in dispatch_deliver.cpp, time in dispatch_times.cpp, the order of keys in
// dispatch_ordered.cpp.
#include "actors/rules/dispatch.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace waybill {
double spread::next() {
  const double drawn = next_;
  next_ = std::fmod(next_ + 0.6180339887498949, 1.0); // the golden ratio: evenly, for any number
  return drawn;
}

// ---- taking over --------------------------------------------------------------------------------

void dispatch::begin(const group& g, gathering& out, const moment& now, spread random) {
  WAYBILL_ASSERT(!begun_);
  begun_ = true;
  recheck_ = false;
  cursor_ = g.floor();
  ordered_ = g.policy().ordered;
  for (const auto& [offset, state] : g.attempts()) {
    if (state.started > state.failed)
      fail_recorded(g, out, offset, state, now, random);
    else if (state.failed >= g.policy().attempts_max)
      give_up(g, out, offset, state, now);
    else
      place(g, offset, now);
  }
  for (const auto& [offset, times] : *timed_) {
    if (g.settled().contains(offset))
      continue;
    watch_expiry(offset, times, now);
    if (!g.attempts().contains(offset))
      place(g, offset, now);
  }
}

/// It was out with a leader that is no more. The last words about it are kept.
void dispatch::fail_recorded(const group& g, gathering& out, message_offset offset,
                             const attempts_state& state, const moment& now, spread& random) {
  settling_.add(just(offset));
  if (state.started >= g.policy().attempts_max) {
    attempts_state last = state;
    last.failed = state.started;
    last.why = failed_because::leader_changed;
    give_up(g, out, offset, last, now);
    return;
  }
  out.fail(g.name(),
           {.offset = offset,
            .attempt = state.started,
            .why = failed_because::leader_changed,
            .reason = state.reason,
            .consumer = state.consumer,
            .first_delivered = state.first_delivered,
            .not_before = now.wall + delay_after(g.policy(), state.started, random.next())});
}

void dispatch::give_up(const group& g, gathering& out, message_offset offset,
                       const attempts_state& state, const moment& now) {
  constexpr std::uint64_t size_unknown = 64 << 10; // it is not held, so nobody looked its size up
  settling_.add(just(offset));
  out.bury(g.name(),
           {.offset = offset,
            .attempts = state.failed,
            .why = state.why,
            .reason = state.reason,
            .consumer = state.consumer,
            .first_delivered = state.first_delivered,
            .published = {},
            .died = now.wall,
            .message = {}},
           size_unknown);
}

// ---- consumers ----------------------------------------------------------------------------------

result<void> dispatch::join(const group& g, consumer_id who, std::string name,
                            std::uint32_t messages, std::uint64_t bytes) {
  if (messages > limits_.credit_messages_max || bytes > limits_.credit_bytes_max) {
    return failure{ec::limit_reached,
                   "A consumer of group " + g.name() + " asks for a credit of " +
                       std::to_string(messages) + " messages and " + std::to_string(bytes) +
                       " bytes; delivery.credit-messages-max allows " +
                       std::to_string(limits_.credit_messages_max) +
                       ", delivery.credit-bytes-max " + std::to_string(limits_.credit_bytes_max) +
                       ": ask for less."};
  }
  const auto found = consumers_.find(who);
  if (found == consumers_.end() && consumers_.size() >= limits_.consumers_max) {
    return failure{ec::limit_reached, "Group " + g.name() + " has " +
                                          std::to_string(consumers_.size()) +
                                          " consumers in this partition, which is all that "
                                          "delivery.consumers-max allows: close one first."};
  }
  auto& c = found == consumers_.end() ? consumers_[who] : found->second;
  c.name = std::move(name);
  c.credit_messages = messages;
  c.credit_bytes = bytes;
  refresh(who, c);
  return {};
}

void dispatch::set_credit(consumer_id who, std::uint32_t messages, std::uint64_t bytes) {
  const auto found = consumers_.find(who);
  if (found == consumers_.end())
    return;
  found->second.credit_messages = std::min<std::uint64_t>(messages, limits_.credit_messages_max);
  found->second.credit_bytes = std::min(bytes, limits_.credit_bytes_max);
  if (messages == 0)
    leave_keys(who); // it pauses, and its keys do not wait for it
  refresh(who, found->second);
}

void dispatch::leave(const group& g, gathering& out, consumer_id who, leaving how,
                     const moment& now, spread random) {
  const auto found = consumers_.find(who);
  if (found == consumers_.end())
    return;
  unreserve(who);
  auto& c = found->second;
  const failing why{.why = failed_because::disconnected, .reason = {}, .consumer = c.name};
  const offset_range everything{message_offset{}, message_offset{UINT64_MAX}};
  take(who, c, everything, [&](offset_range piece, const lease& of) {
    if (how == leaving::closed)
      make_ready(g, piece);
    else
      fail(g, out, piece, of, why, now, random);
  });
  leave_keys(who);
  open_.erase(who);
  suspected_.erase(who);
  consumers_.erase(found);
}

/// Attempts begun for a consumer that leaves: anybody may have them, under the same number.
void dispatch::unreserve(consumer_id who) {
  for (auto& [offset, meant_for] : starting_) {
    if (meant_for == who)
      meant_for.reset();
  }
  for (auto at = reserved_.begin(); at != reserved_.end();) {
    if (at->second == who) {
      returned_.add(just(at->first));
      at = reserved_.erase(at);
    } else {
      ++at;
    }
  }
}

std::vector<consumer_id> dispatch::consumers() const {
  std::vector<consumer_id> all;
  for (const auto& [who, c] : consumers_)
    all.push_back(who);
  return all;
}

void dispatch::refresh(consumer_id who, const consumer& c) {
  if (c.held + c.reserved < c.credit_messages && (c.held == 0 || c.bytes < c.credit_bytes))
    open_.insert(who);
  else
    open_.erase(who);
}

// ---- leases -------------------------------------------------------------------------------------

/// Ends the leases of `from` within `range`; `act(piece, lease)` says what becomes of each piece.
/// A lease that is only partly within keeps the rest.
template <class Act>
void dispatch::take(consumer_id who, consumer& from, offset_range range, Act act) {
  if (range.first >= range.end)
    return;
  auto at = from.leases.upper_bound(range.first);
  while (at != from.leases.end() && at->second.first < range.end) {
    auto& run = at->second;
    const auto end = at->first;
    const offset_range piece{std::max(run.first, range.first), std::min(end, range.end)};
    from.held -= piece.end.value - piece.first.value;
    held_ -= piece.end.value - piece.first.value;
    from.bytes -= run.bytes(piece);
    act(piece, run);
    if (run.first < piece.first) {
      from.leases.emplace_hint(at, piece.first, run);
      deadlines_.emplace(run.until, who, piece.first);
    }
    if (piece.end < end) {
      run.first = piece.end;
      break;
    }
    deadlines_.erase({run.until, who, end});
    at = from.leases.erase(at);
  }
  refresh(who, from);
}

/// `take` for what a consumer said about its messages. What it does not hold is `lost`.
template <class Act>
settling dispatch::take_all(consumer_id who, std::span<const offset_range> ranges, Act act) {
  settling answer;
  const auto found = consumers_.find(who);
  for (const auto& range : ranges) {
    auto reached = range.first;
    if (found != consumers_.end()) {
      take(who, found->second, range, [&](offset_range piece, const lease& of) {
        if (reached < piece.first)
          answer.lost.push_back({reached, piece.first});
        reached = piece.end;
        act(found->second, piece, of);
      });
    }
    if (reached < range.end)
      answer.lost.push_back({reached, range.end});
  }
  return answer;
}

void dispatch::put(consumer_id who, consumer& into, message_offset end, lease what) {
  const offset_range range{what.first, end};
  into.held += end.value - what.first.value;
  held_ += end.value - what.first.value;
  into.bytes += what.bytes(range);
  deadlines_.emplace(what.until, who, end);
  into.leases.emplace(end, std::move(what));
  refresh(who, into);
}

settling dispatch::ack(const group& g, gathering& out, consumer_id who,
                       std::span<const offset_range> ranges) {
  proposal_number last;
  auto answer = take_all(who, ranges, [&](consumer&, offset_range piece, const lease&) {
    settling_.add(piece);
    last = out.ack(g.name(), piece);
  });
  answer.answered_by = last;
  return answer;
}

settling dispatch::nack(const group& g, gathering& out, consumer_id who, message_offset offset,
                        std::optional<milliseconds> delay, std::string reason, const moment& now,
                        double random, after_failure then) {
  proposal_number last;
  spread drawn{random};
  if (delay)
    delay = std::clamp(*delay, milliseconds{0}, limits_.lease_max);
  reason = cut_reason(std::move(reason), limits_.reason_bytes_max);
  const auto one = just(offset);
  auto answer = take_all(who, {&one, 1}, [&](consumer& c, offset_range piece, const lease& of) {
    last = fail(g, out, piece, of, {failed_because::nack, reason, c.name, delay, then}, now, drawn);
  });
  answer.answered_by = last;
  return answer;
}

std::optional<held_message> dispatch::held(consumer_id who, message_offset offset) const {
  const auto found = consumers_.find(who);
  if (found == consumers_.end())
    return std::nullopt;
  const auto piece = found->second.leases.upper_bound(offset);
  if (piece == found->second.leases.end() || offset < piece->second.first)
    return std::nullopt;
  return held_message{{}, found->second.name, piece->second.attempt, piece->second.sums};
}

settling dispatch::extend(const group& g, consumer_id who, std::span<const offset_range> ranges,
                          milliseconds lease_time, const moment& now) {
  if (lease_time <= milliseconds{0})
    lease_time = g.policy().lease;
  const auto until = now.steady + std::min(lease_time, limits_.lease_max);
  std::vector<std::pair<message_offset, lease>> extended;
  auto answer = take_all(who, ranges, [&](consumer&, offset_range piece, lease of) {
    of.first = piece.first;
    of.until = until;
    extended.emplace_back(piece.end, std::move(of));
  });
  for (auto& [end, what] : extended)
    put(who, consumers_.at(who), end, std::move(what));
  return answer;
}

settling dispatch::give_back(const group& g, consumer_id who,
                             std::span<const offset_range> ranges) {
  return take_all(who, ranges,
                  [&](consumer&, offset_range piece, const lease&) { make_ready(g, piece); });
}

/// Each delivery of `piece` failed: back after a delay, or a dead letter after the last attempt.
proposal_number dispatch::fail(const group& g, gathering& out, offset_range piece, const lease& of,
                               const failing& how, const moment& now, spread& random) {
  // What may be what consumers die of comes back at a time of its own, whatever the policy says:
  // with another partition's at the same moment it would be in the same hands again.
  constexpr double jitter_of_suspects = 0.2;
  settling_.add(piece);
  auto policy = g.policy();
  if (how.why == failed_because::disconnected && of.attempt > 1)
    policy.jitter = std::max(policy.jitter, jitter_of_suspects);
  proposal_number last;
  for (auto offset = piece.first; offset < piece.end; offset = after(offset)) {
    const auto known = g.attempts().find(offset);
    const auto first_delivered = known != g.attempts().end() && known->second.failed > 0
                                     ? known->second.first_delivered
                                     : of.delivered;
    if (of.attempt >= policy.attempts_max || how.then == after_failure::bury) {
      last = out.bury(g.name(),
                      {.offset = offset,
                       .attempts = of.attempt,
                       .why = how.why,
                       .reason = how.reason,
                       .consumer = how.consumer,
                       .first_delivered = first_delivered,
                       .published = {},
                       .died = now.wall,
                       .message = {}},
                      of.bytes(just(offset)));
      continue;
    }
    const auto wait = how.delay ? *how.delay : delay_after(policy, of.attempt, random.next());
    last = out.fail(g.name(), {.offset = offset,
                               .attempt = of.attempt,
                               .why = how.why,
                               .reason = how.reason,
                               .consumer = how.consumer,
                               .first_delivered = first_delivered,
                               .not_before = now.wall + wait});
  }
  return last;
}

/// Leases that ran out.
void dispatch::end_leases(const group& g, gathering& out, const moment& now, spread& random) {
  while (!deadlines_.empty() && std::get<0>(*deadlines_.begin()) <= now.steady) {
    const auto [until, who, end] = *deadlines_.begin();
    auto& c = consumers_.at(who);
    const auto first = c.leases.at(end).first;
    const failing why{.why = failed_because::lease_expired, .reason = {}, .consumer = c.name};
    take(who, c, {first, end},
         [&](offset_range piece, const lease& of) { fail(g, out, piece, of, why, now, random); });
  }
}

// ---- where a message belongs --------------------------------------------------------------------

/// No longer with anybody, and not counted.
void dispatch::make_ready(const group& g, offset_range range) {
  returned_.add(range);
  for (const auto& late : overdue_.inside(range)) {
    returned_.remove(late);
    expired_.add(late);
  }
  // Normally its attempt is recorded. Only what another leader's entry failed meanwhile is not.
  for (auto at = g.attempts().lower_bound(range.first);
       at != g.attempts().end() && at->first < range.end; ++at) {
    const auto one = just(at->first);
    if (at->second.started <= at->second.failed && returned_.remove(one) > 0) {
      ready_to_start(g, at->first);
    }
  }
}

/// By its record: ready as it is, ready once started, or waiting. @pre it is in no other place
void dispatch::place(const group& g, message_offset offset, const moment& now) {
  const auto one = just(offset);
  if (g.settled().contains(offset))
    return;
  if (overdue_.contains(offset)) {
    expired_.add(one);
    return;
  }
  if (is_placed_by_key(g, offset))
    return;
  const auto found = g.attempts().find(offset);
  if (found == g.attempts().end()) {
    const auto timed = timed_->find(offset);
    if (timed != timed_->end() && timed->second.not_before > now.wall)
      delayed_.add(offset, now.steady + (timed->second.not_before - now.wall));
    else if (timed == timed_->end())
      returned_.add(one);
    else
      ready_at_first(offset);
    return;
  }
  const auto& state = found->second;
  if (state.started > state.failed) {
    returned_.add(one);
  } else if (state.not_before <= now.wall) {
    ready_to_start(g, offset);
  } else {
    delayed_.add(offset, now.steady + (state.not_before - now.wall));
  }
}

bool dispatch::forget_waiting(message_offset offset) {
  const auto one = just(offset);
  if (delayed_.remove(offset))
    return true;
  if (const auto found = reserved_.find(offset); found != reserved_.end()) {
    auto& c = consumers_.at(found->second);
    --c.reserved;
    refresh(found->second, c);
    reserved_.erase(found);
    return true;
  }
  const auto waited = returned_.remove(one) + come_.remove(one) + to_start_.remove(one) +
                      suspects_.remove(one) + expired_.remove(one);
  return waited > 0 || forget_in_order(offset);
}

bool dispatch::is_out(message_offset offset) const {
  if (settling_.contains(offset) || starting_.contains(offset))
    return true;
  return std::ranges::any_of(consumers_, [&](const auto& each) {
    const auto at = each.second.leases.upper_bound(offset);
    return at != each.second.leases.end() && at->second.first <= offset;
  });
}

// ---- what was committed -------------------------------------------------------------------------

void dispatch::settled(offset_range range) {
  if (!begun_)
    return;
  expiring_.remove(range);
  overdue_.remove(range);
  if (ordered_)
    settle_keys(range);
  if (settling_.remove(range) == range.end.value - range.first.value)
    return; // the common case: this leader proposed it, so it was in no other place
  for (auto* const waiting : {&returned_, &come_, &to_start_, &suspects_, &expired_})
    waiting->remove(range);
  delayed_.remove(range);
  for (auto at = reserved_.lower_bound(range.first);
       at != reserved_.end() && at->first < range.end;)
    forget_waiting((at++)->first);
  for (auto at = starting_.lower_bound(range.first); at != starting_.end() && at->first < range.end;
       at = starting_.erase(at)) {
    if (at->second) {
      auto& c = consumers_.at(*at->second);
      --c.reserved;
      refresh(*at->second, c);
    }
  }
  for (auto& [who, c] : consumers_)
    take(who, c, range, [](offset_range, const lease&) {});
}

void dispatch::started(const group& g, message_offset offset, const moment& now) {
  if (!begun_ || g.settled().contains(offset))
    return;
  const auto found = starting_.find(offset);
  if (found == starting_.end()) { // another leader's
    if (is_out(offset) || reserved_.contains(offset))
      return;
    forget_waiting(offset);
    place(g, offset, now);
    return;
  }
  const auto meant_for = found->second;
  starting_.erase(found);
  const auto& state = g.attempts().at(offset);
  if (meant_for && state.started > state.failed && !overdue_.contains(offset)) {
    reserved_.emplace(offset, *meant_for);
    return;
  }
  if (meant_for) {
    auto& c = consumers_.at(*meant_for);
    --c.reserved;
    refresh(*meant_for, c);
  }
  place(g, offset, now);
}

void dispatch::failed(const group& g, message_offset offset, origin from, const moment& now) {
  if (!begun_ || g.settled().contains(offset))
    return;
  const bool proposed_here = from == origin::own_proposal && settling_.remove(just(offset)) > 0;
  if (!proposed_here) {
    if (is_out(offset))
      return; // what this leader has out, or proposed, goes on
    forget_waiting(offset);
  }
  place(g, offset, now);
}

} // namespace waybill
