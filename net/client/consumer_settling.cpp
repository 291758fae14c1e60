// The loop's half of a consumer: acks sent in few large calls and pipelined, other settling as it
// comes, and the leases of what waits or is worked on.
#include "net/client/consumer_impl.hpp"

#include "net/client/wire_values.hpp"
#include "storage/assert.hpp"

#include <algorithm>
#include <utility>

namespace waybill {

using client_parts::steady_clock;

namespace {

constexpr std::size_t ack_calls_max = 4; ///< without an answer
constexpr std::size_t ranges_of_a_call = 10'000;
constexpr std::uint32_t tries_max = 5; ///< of a call that the node answers with a fault
constexpr milliseconds again_after{100};
constexpr std::size_t early_max =
    10'000; ///< orders before there is a subscription; then: the lease
constexpr milliseconds keep_interval_min{10};
constexpr milliseconds silence_max{15'000}; ///< then the node is asked for a sign of life

failure too_late() {
  return {ec::lease_lost, "the ack came too late: another consumer has the message by now"};
}

/// How many offsets of `of` lie in `in`; both merged.
std::uint64_t count_common(const std::vector<offset_range>& of,
                           const std::vector<offset_range>& in) {
  std::uint64_t count = 0;
  auto at = in.begin();
  for (const auto& each : of) {
    while (at != in.end() && at->end <= each.first)
      ++at;
    for (auto i = at; i != in.end() && i->first < each.end; ++i)
      count += std::min(i->end, each.end).value - std::max(i->first, each.first).value;
  }
  return count;
}

bool contains(const std::vector<offset_range>& ranges, message_offset offset) {
  return std::ranges::any_of(ranges, [offset](const offset_range& each) {
    return each.first <= offset && offset < each.end;
  });
}

std::vector<offset_range> lost_of(wire::SettleOutcome::Ok::Reader ok) {
  std::vector<offset_range> lost;
  for (const auto each : ok.getLost())
    lost.push_back(client_parts::to_range(each));
  client_parts::merge_ranges(lost);
  return lost;
}

} // namespace

// ---- acks -------------------------------------------------------------------------------------

std::optional<std::pair<std::uint32_t, consumer::impl::ack_bundle>> consumer::impl::take_bundle() {
  const std::lock_guard lock{mutex_};
  acks_posted_ = false;
  // Each call costs the node a record and a share of a sync: a few acks go on gathering while a
  // call of their partition is under way; so many that the node may be waiting for room do not.
  const auto many = options_.credit_messages / 8;
  const auto first = std::ranges::find_if(acks_, [&](const auto& each) {
    return !acking_.contains(each.first) || each.second.front().acks >= many;
  });
  if (first == acks_.end())
    return std::nullopt;
  std::pair<std::uint32_t, ack_bundle> taken{first->first, std::move(first->second.front())};
  first->second.pop_front();
  if (first->second.empty())
    acks_.erase(first);
  return taken;
}

void consumer::impl::send_acks() {
  if (is_finished_ || !subscription_ || acks_stall_)
    return; // a new subscription sends them
  if (acks_at_ && *acks_at_ > steady_clock::now())
    return;
  acks_at_.reset();
  while (ack_calls_ < ack_calls_max) {
    auto taken = take_bundle();
    if (!taken)
      return;
    send_bundle(taken->first, std::move(taken->second));
  }
}

void consumer::impl::send_bundle(std::uint32_t partition, ack_bundle bundle) {
  client_parts::merge_ranges(bundle.ranges);
  auto request = subscription_->ackRequest();
  request.setPartition(partition);
  client_parts::write_ranges(request.initRanges(static_cast<unsigned>(bundle.ranges.size())),
                             bundle.ranges);
  ++ack_calls_;
  acking_.insert(partition);
  auto shared = std::make_shared<ack_bundle>(std::move(bundle));
  const auto answered = [this, partition, session = session_] {
    if (session != session_ || ack_calls_ == 0)
      return;
    --ack_calls_;
    if (const auto its = acking_.find(partition); its != acking_.end())
      acking_.erase(its);
  };
  core_->net()->tasks().add(request.send().then(
      [self = shared_from_this(), partition, shared, answered](auto&& response) {
        answered();
        if (auto* net = self->core_->net())
          net->heard();
        self->ack_answered(partition, *shared, response.getOutcome());
        self->send_acks();
      },
      [self = shared_from_this(), partition, shared, answered,
       session = session_](kj::Exception&& e) {
        answered();
        const bool is_gone = client_parts::is_disconnect(e);
        if (is_gone && session == self->session_)
          self->acks_stall_ = true; // until the next session
        self->ack_again(partition, std::move(*shared), !is_gone);
        self->send_acks(); // those that waited for this call
      }));
}

void consumer::impl::ack_answered(std::uint32_t partition, ack_bundle& bundle,
                                  wire::SettleOutcome::Reader outcome) {
  if (outcome.which() == wire::SettleOutcome::OK) {
    const auto lost = lost_of(outcome.getOk());
    forget_settled(partition, bundle.ranges, lost);
    settle_acks(bundle, lost, too_late());
    return;
  }
  if (outcome.which() != wire::SettleOutcome::ERROR) {
    settle_acks(bundle, bundle.ranges,
                {ec::internal, "the node's answer to an ack is of a kind that this library does "
                               "not know"});
    return;
  }
  const auto refusal = client_parts::to_failure(outcome.getError());
  if (refusal.retry || retry_can_help(refusal.why.code))
    ack_again(partition, std::move(bundle), false);
  else
    settle_acks(bundle, bundle.ranges, refusal.why);
}

/// An ack may settle what has been delivered once more since it was sent, and what nobody has taken
/// yet: whoever has the answer never sees the message again.
void consumer::impl::forget_settled(std::uint32_t partition, const std::vector<offset_range>& acked,
                                    const std::vector<offset_range>& lost) {
  const std::lock_guard lock{mutex_};
  queue_.filter(partition, acked,
                [&](const queued& each) { return contains(lost, each.content.offset()); });
}

/// Back to the front, for a later call: in this session after a pause, or in the next one.
void consumer::impl::ack_again(std::uint32_t partition, ack_bundle bundle, bool is_counted) {
  if (is_counted && ++bundle.tries > tries_max) {
    settle_acks(bundle, bundle.ranges, {ec::internal, "the node fails at this ack, each time"});
    return;
  }
  {
    const std::lock_guard lock{mutex_};
    if (!is_finished_ && !final_) {
      acks_[partition].push_front(std::move(bundle));
      bundle.acks = 0;
    }
  }
  if (is_finished_ || final_) {
    settle_acks(bundle, bundle.ranges, {ec::stopping, "the consumer was closed"});
    return;
  }
  acks_at_ = steady_clock::now() + again_after;
  waker_->at(*acks_at_);
}

/// `lost` came too late, or were refused, because of `why`; the others are committed.
void consumer::impl::settle_acks(ack_bundle& bundle, const std::vector<offset_range>& lost,
                                 const failure& why) {
  auto merged = bundle.ranges;
  client_parts::merge_ranges(merged);
  // An offset that was acked twice counts once as taken: the second of them came too late.
  std::uint64_t distinct = 0;
  for (const auto& each : merged)
    distinct += each.end.value - each.first.value;
  auto all_lost = lost;
  client_parts::merge_ranges(all_lost);
  const auto missing = std::min(count_common(merged, all_lost), distinct);
  const auto done = std::min(distinct - missing, bundle.acks);
  {
    const std::lock_guard lock{mutex_};
    committed_ += done;
    lost_ += bundle.acks - done;
    for (const auto& [round, count] : bundle.rounds) {
      const auto at = unsettled_.find(round);
      WAYBILL_ASSERT(at != unsettled_.end() && at->second >= count);
      at->second -= count;
      if (at->second == 0)
        unsettled_.erase(at);
    }
    changed_.notify_all();
  }
  if (missing > 0 &&
      !std::exchange(told_lost_, true)) // a line for each subscription; `flush` counts
    core_->log(std::to_string(missing) + " ack(s), or more, of group '" + group_ + "' in '" +
               topic_ + "' did not count (" + why.detail +
               "): such messages may be delivered again");
  for (auto& each : bundle.waiters)
    each.answer->set_value(contains(all_lost, each.offset) ? result<void>{why} : result<void>{});
  bundle.waiters.clear();
}

// ---- all other settling -----------------------------------------------------------------------

void consumer::impl::send_order(settle_order o) {
  auto* net = core_->net();
  if (is_finished_ || !net || !net->is_up() || o.ranges.empty())
    return; // its leases have ended with the session
  if (!subscription_) {
    if (is_asking_ && early_.size() < early_max) // deliveries may overtake that answer
      early_.push_back(std::move(o));
    return;
  }
  // Copied into each promise (kj::cp): `then` would keep a reference to what has a name.
  const auto on_answer = [self = shared_from_this(), o,
                          sent = steady_clock::now()](auto&& response) {
    if (auto* heard = self->core_->net())
      heard->heard();
    const wire::SettleOutcome::Reader outcome = response.getOutcome();
    if (outcome.which() == wire::SettleOutcome::ERROR) {
      const auto refusal = client_parts::to_failure(outcome.getError());
      self->order_failed(o, refusal.why, refusal.retry || retry_can_help(refusal.why.code));
    } else if (outcome.which() == wire::SettleOutcome::OK && o.kind == settling::extend) {
      self->renewed(o, sent, lost_of(outcome.getOk()));
    }
  };
  const auto on_fault = [self = shared_from_this(), o](kj::Exception&& e) {
    if (!client_parts::is_disconnect(e))
      self->order_failed(o, client_parts::to_failure(e), true);
  };
  const auto fill = [&o](auto& request) {
    request.setPartition(o.partition);
    client_parts::write_ranges(request.initRanges(static_cast<unsigned>(o.ranges.size())),
                               o.ranges);
  };
  switch (o.kind) {
  case settling::nack: {
    auto request = subscription_->nackRequest();
    request.setPartition(o.partition);
    request.setOffset(o.ranges.front().first.value);
    request.setDelayMs(o.delay_ms);
    request.setReason(o.reason);
    net->tasks().add(request.send().then(kj::cp(on_answer), kj::cp(on_fault)));
    break;
  }
  case settling::extend: {
    auto request = subscription_->extendRequest();
    fill(request);
    request.setLeaseMs(o.lease_ms);
    net->tasks().add(request.send().then(kj::cp(on_answer), kj::cp(on_fault)));
    break;
  }
  case settling::give_back: {
    auto request = subscription_->giveBackRequest();
    fill(request);
    net->tasks().add(request.send().then(kj::cp(on_answer), kj::cp(on_fault)));
    break;
  }
  }
}

/// Tried a few times; if it does not work out, the lease runs out, and the message comes again.
void consumer::impl::order_failed(settle_order o, const failure& why, bool retry) {
  auto* net = core_->net();
  if (!net || is_finished_)
    return;
  if (!retry || ++o.tries >= tries_max) {
    core_->log("a message of '" + topic_ + "' could not be settled (" + why.detail +
               "): its lease runs out instead");
    return;
  }
  net->tasks().add(
      net->timer().afterDelay(client_parts::to_kj(again_after)).then([weak = weak_from_this(), o] {
        if (const auto self = weak.lock())
          self->send_order(o);
      }));
}

// ---- leases -----------------------------------------------------------------------------------

void consumer::impl::renewed(const settle_order& o, steady_time sent,
                             const std::vector<offset_range>& lost) {
  const std::lock_guard lock{mutex_};
  queue_.filter(o.partition, o.ranges, [&](queued& each) {
    each.renewed_at = std::max(each.renewed_at, sent);
    return !contains(lost, each.content.offset()); // else somebody else has it
  });
}

void consumer::impl::keep_leases() {
  std::map<std::uint32_t, std::vector<offset_range>> longer;
  std::map<std::uint32_t, std::vector<offset_range>> back;
  {
    const std::lock_guard lock{mutex_};
    const auto now = steady_clock::now();
    const bool is_used = takers_ > 0 || !worked_on_.empty() || now - last_taken_ < lease_;
    queue_.filter([&](const queued& each) {
      if (now - each.renewed_at < lease_ / 3)
        return true;
      const auto at = each.content.offset();
      (is_used ? longer : back)[each.content.partition()].push_back(just(at));
      return is_used;
    });
    for (auto& [where, renewed_at] : worked_on_) {
      if (now - renewed_at < lease_ / 3)
        continue;
      renewed_at = now;
      longer[where.first].push_back(just(where.second));
    }
    keep_at_ = now + std::max<steady_clock::duration>(lease_ / 4, keep_interval_min);
  }
  const auto send = [this](auto& by_partition, settling kind) {
    for (auto& [partition, ranges] : by_partition) {
      client_parts::merge_ranges(ranges);
      for (std::size_t at = 0; at < ranges.size(); at += ranges_of_a_call) {
        const auto end = std::min(at + ranges_of_a_call, ranges.size());
        send_order({.kind = kind,
                    .partition = partition,
                    .ranges = {ranges.begin() + static_cast<std::ptrdiff_t>(at),
                               ranges.begin() + static_cast<std::ptrdiff_t>(end)},
                    .reason = {}});
      }
    }
  };
  send(longer, settling::extend);
  send(back, settling::give_back);
}

/// All that has its time: a subscription to be tried again, acks to be sent again, leases.
void consumer::impl::tick() {
  if (is_finished_)
    return;
  const auto now = steady_clock::now();
  if (subscribe_at_ && *subscribe_at_ <= now) {
    subscribe_at_.reset();
    subscribe_now();
  }
  if (acks_at_ && *acks_at_ <= now) {
    acks_at_.reset();
    send_acks();
  }
  if (auto* net = core_->net(); net && now - net->last_heard() > silence_max)
    net->suspect();
  if (subscription_ && (!keep_at_ || *keep_at_ <= now))
    keep_leases();
  for (const auto& at : {subscribe_at_, acks_at_, keep_at_})
    if (at)
      waker_->at(std::max(*at, now));
}

} // namespace waybill
