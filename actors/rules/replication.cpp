// The rules of replication: what all counted members have on disk is committed, and a follower's
// log becomes the leader's without ever losing what is committed.
#include "actors/rules/replication.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <ranges>

namespace waybill {

// ---- commit_rule -------------------------------------------------------------------------------

commit_rule::commit_rule(options o) : options_{std::move(o)}, committed_{options_.committed} {
  WAYBILL_ASSERT(options_.min_in_sync >= 1);
  WAYBILL_ASSERT(options_.start > options_.committed); // the epoch start is behind all of the log
  for (const auto& member : options_.in_sync)
    on_disk_.emplace(member, log_index{});
  WAYBILL_ASSERT(on_disk_.size() == options_.in_sync.size()); // nobody counts twice
  WAYBILL_ASSERT(on_disk_.contains(options_.self));
}

log_index commit_rule::last() const { return log_index{options_.start.value + appended_ - 1}; }

void commit_rule::appended(const log_position& at) {
  WAYBILL_ASSERT(at.index.value == last().value + 1);
  WAYBILL_ASSERT(at.written == options_.leading);
  ++appended_;
  uncommitted_.emplace_hint(uncommitted_.end(), at.index, at.hash);
}

bool commit_rule::stored(log_index up_to) {
  WAYBILL_ASSERT(up_to <= last()); // a sync cannot cover what is not in the log
  auto& own = on_disk_[options_.self];
  if (up_to <= own)
    return false;
  own = up_to;
  return advance();
}

bool commit_rule::stored(const replica_name& who, epoch in, const log_position& at) {
  const auto member = on_disk_.find(who);
  if (member == on_disk_.end() || who == options_.self)
    return false; // a stranger; and the leader's own disk speaks through its syncs alone
  if (in != options_.leading || at.index <= member->second)
    return false;
  // Every counted member has all up to the commit index, so a newer answer lies above it, where the
  // hashes are. Below `start` there are none: such an answer cannot commit anything yet either.
  const auto own = uncommitted_.find(at.index);
  if (own == uncommitted_.end() || own->second != at.hash || at.written != options_.leading)
    return false;
  member->second = at.index;
  return advance();
}

bool commit_rule::advance() {
  if (on_disk_.size() < options_.min_in_sync)
    return false;
  const auto everywhere = std::ranges::min(on_disk_ | std::views::values);
  // An entry of an earlier epoch may still be replaced although it is everywhere; one of this epoch
  // may not. So the epoch's first entry takes all before it along.
  if (everywhere < options_.start || everywhere == committed_)
    return false;
  WAYBILL_ASSERT(everywhere > committed_);
  committed_ = everywhere;
  uncommitted_.erase(uncommitted_.begin(), uncommitted_.upper_bound(committed_));
  return true;
}

// ---- match_entries -----------------------------------------------------------------------------

namespace {

/// The message is one piece of one log. Its sender has checked it, and so has whoever decoded it.
bool is_one_piece(epoch sender, const log_position& previous,
                  std::span<const log_position> entries) {
  const log_position* before = &previous;
  for (const auto& each : entries) {
    if (each.index.value != before->index.value + 1 || each.written < before->written)
      return false;
    before = &each;
  }
  return before->written <= sender;
}

} // namespace

follower_verdict match_entries(epoch promised, epoch sender, const log_position& previous,
                               std::span<const log_position> entries, const log_position& own_end,
                               log_index own_committed,
                               const std::function<std::optional<log_position>(log_index)>& at) {
  if (sender < promised)
    return refuse_epoch{promised};
  WAYBILL_ASSERT(own_committed <= own_end.index);
  WAYBILL_ASSERT(is_one_piece(sender, previous, entries));
  const auto mine = [&](log_index index) -> std::optional<log_position> {
    if (index > own_end.index)
      return std::nullopt;
    return index == log_index{} ? log_position{} : at(index);
  };
  if (mine(previous.index) != previous)
    return ask_earlier{own_end};

  accept_entries accepted{
      .drop_after = std::nullopt, .skip = 0, .last = entries.empty() ? previous : entries.back()};
  while (accepted.skip < entries.size() &&
         mine(entries[accepted.skip].index) == entries[accepted.skip])
    ++accepted.skip;
  if (accepted.skip == entries.size())
    return accepted; // all of it is there; what lies behind it may be right as well
  const auto first_new = entries[accepted.skip].index;
  if (first_new <= own_end.index) {
    WAYBILL_ASSERT(first_new > own_committed); // a committed entry is never dropped
    accepted.drop_after = log_index{first_new.value - 1};
  }
  return accepted;
}

} // namespace waybill
