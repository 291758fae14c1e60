// The replicated state of one group: see the header.
#include "actors/rules/group.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace waybill {

group::group(const group_record& created, const offset_set& settled_by_all,
             std::span<const addressed_range> addressed, message_offset next)
    : name_{created.group}, policy_{created.policy}, start_{created.start}, settled_{
                                                                                settled_by_all} {
  settled_.add({message_offset{}, start_});
  if (start_ >= next)
    return;
  for (const auto& open : settled_.outside({start_, next}))
    counts_.arrived += open.end.value - open.first.value;
  for (const auto& each : addressed) {
    if (each.group != name_)
      counts_.for_others += settled_.add(each.offsets);
  }
}

group::group(const group_snapshot& from)
    : name_{from.group}, policy_{from.policy}, start_{from.start}, settled_{from.settled},
      attempts_{from.attempts}, dead_letters_{from.dead_letters},
      transfers_{from.transfers}, counts_{from.counts} {
  settled_.add({message_offset{}, from.floor});
  for (const auto& [begun, each] : transfers_)
    locked_.insert(each.dead_letters.begin(), each.dead_letters.end());
}

group_snapshot group::snapshot() const {
  group_snapshot into;
  into.group = name_;
  into.policy = policy_;
  into.start = start_;
  into.floor = floor();
  into.settled = settled_.ranges();
  if (into.floor.value > 0)
    into.settled.erase(into.settled.begin());
  into.attempts = attempts_;
  into.dead_letters = dead_letters_;
  into.counts = counts_;
  into.transfers = transfers_;
  return into;
}

void group::arrive(offset_range messages, meant_for whom) {
  // Nothing before the start belongs to the group, also when the start lies ahead of the log.
  messages.first = std::max(messages.first, start_);
  if (messages.first >= messages.end)
    return;
  const auto many = messages.end.value - messages.first.value;
  counts_.arrived += many;
  if (whom == meant_for::others) {
    const auto added = settled_.add(messages);
    WAYBILL_ASSERT(added == many); // what has just arrived was in nobody's hands
    counts_.for_others += added;
  }
}

std::uint64_t group::ack(offset_range range) {
  const auto added = settled_.add(range);
  counts_.acked += added;
  if (added > 0 && !attempts_.empty())
    attempts_.erase(attempts_.lower_bound(range.first), attempts_.lower_bound(range.end));
  return added;
}

effect group::start(const attempt_started& what) {
  if (settled_.contains(what.offset) || what.attempt == 0)
    return effect::none;
  auto& state = attempts_[what.offset];
  if (what.attempt <= state.started)
    return effect::none;
  state.started = what.attempt;
  return effect::changed;
}

effect group::fail(const attempt_failed& what) {
  if (settled_.contains(what.offset) || what.attempt == 0)
    return effect::none;
  auto& state = attempts_[what.offset];
  if (what.attempt <= state.failed)
    return effect::none;
  const auto first_delivered = state.failed > 0 ? state.first_delivered : what.first_delivered;
  state = {.failed = what.attempt,
           .started = state.started,
           .why = what.why,
           .reason = what.reason,
           .consumer = what.consumer,
           .first_delivered = first_delivered,
           .not_before = what.not_before};
  return effect::changed;
}

effect group::bury(const dead_letter& what) {
  if (settled_.add(just(what.offset)) == 0)
    return effect::none;
  attempts_.erase(what.offset);
  dead_letters_.emplace(what.offset, what.died);
  ++counts_.dead;
  counts_.expired += what.why == failed_because::expired ? 1 : 0;
  return effect::changed;
}

std::vector<offset_range> group::seek(message_offset target, const offset_set& may_be_gone,
                                      std::span<const addressed_range> addressed,
                                      message_offset next) {
  target = std::min(target, next);
  if (start_ > target) {
    settled_.remove({std::max(target, next), start_}); // a start that lay ahead of the log
    start_ = target;
  }
  counts_.skipped += settled_.add({message_offset{}, target});
  attempts_.erase(attempts_.begin(), attempts_.lower_bound(target));
  offset_set again{settled_.inside({target, next})};
  for (const auto& range : may_be_gone.inside({target, next}))
    again.remove(range);
  for (const auto& each : addressed) {
    if (each.group != name_)
      again.remove(each.offsets);
  }
  for (const auto& [offset, died] : dead_letters_)
    again.remove(just(offset));
  for (const auto& range : again.ranges())
    counts_.reopened += settled_.remove(range);
  return again.ranges();
}

void group::drop(message_offset end) {
  counts_.dropped_unread += settled_.add({message_offset{}, end});
  attempts_.erase(attempts_.begin(), attempts_.lower_bound(end));
}

std::vector<message_offset> group::release(std::span<const message_offset> dead_letters,
                                           fate what) {
  std::vector<message_offset> released;
  for (const auto each : dead_letters) {
    if (!locked_.contains(each) && dead_letters_.erase(each) == 1)
      released.push_back(each);
  }
  (what == fate::redriven ? counts_.redriven : counts_.purged) += released.size();
  return released;
}

void group::begin(const transfer_state& what, log_index at) {
  const auto is_free = [this](message_offset each) {
    return dead_letters_.contains(each) && !locked_.contains(each);
  };
  if (what.dead_letters.empty() || !std::ranges::all_of(what.dead_letters, is_free))
    return;
  transfers_.emplace(at, what);
  locked_.insert(what.dead_letters.begin(), what.dead_letters.end());
}

std::vector<message_offset> group::apply(const transfer_record& r, log_index at) {
  if (r.action == transfer_action::begin) {
    begin(r.what, at);
    return {};
  }
  const auto found = transfers_.find(r.begun);
  if (found == transfers_.end())
    return {};
  if (r.action == transfer_action::doubt) {
    found->second.doubt = r.reason;
    return {};
  }
  const auto letters = std::move(found->second.dead_letters);
  transfers_.erase(found);
  for (const auto each : letters)
    locked_.erase(each);
  if (r.action == transfer_action::abandon)
    return {};
  return release(letters, fate::redriven);
}

std::uint64_t group::in_doubt() const {
  return static_cast<std::uint64_t>(std::ranges::count_if(
      transfers_, [](const auto& each) { return each.second.doubt.has_value(); }));
}

std::uint64_t group::settled_ranges() const {
  return settled_.range_count() - (settled_.floor().value > 0 ? 1 : 0);
}

std::uint64_t group::unsettled(message_offset next) const {
  // Only a start that lies ahead of the log settles what is not there yet.
  const auto ahead = start_ > next ? start_.value - next.value : 0;
  return next.value - (settled_.count() - ahead);
}

milliseconds delay_after(const group_policy& policy, std::uint32_t attempt, double random) {
  if (policy.delay <= milliseconds{0})
    return milliseconds{0};
  const double longest = 10.0 * 365 * 24 * 3'600'000; // beyond it a double no longer fits the type
  double wait = static_cast<double>(policy.delay.count()) *
                std::pow(std::max(policy.factor, 1.0), static_cast<double>(attempt) - 1.0);
  wait = std::min({wait, static_cast<double>(policy.delay_max.count()), longest});
  wait *= 1.0 + policy.jitter * (2.0 * random - 1.0);
  return milliseconds{std::llround(std::max(wait, 0.0))};
}

std::string cut_reason(std::string text, std::size_t bytes_max) {
  if (text.size() <= bytes_max)
    return text;
  constexpr std::string_view mark = "…";
  const bool marked = bytes_max >= mark.size();
  std::size_t keep = marked ? bytes_max - mark.size() : bytes_max;
  while (keep > 0 && (static_cast<unsigned char>(text[keep]) & 0xC0) == 0x80)
    --keep; // not in the middle of a character
  text.resize(keep);
  if (marked)
    text += mark;
  return text;
}

} // namespace waybill
