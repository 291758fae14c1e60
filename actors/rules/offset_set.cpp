// Sets of offsets as ranges: see the header.
#include "actors/rules/offset_set.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <iterator>

namespace waybill {

offset_set::offset_set(const std::vector<offset_range>& ranges) {
  for (const auto& each : ranges)
    add(each);
}

/// The range that holds `offset`, or the first one after it.
offset_set::numbers::const_iterator offset_set::covering_or_after(std::uint64_t offset) const {
  auto after = ranges_.upper_bound(offset);
  if (after != ranges_.begin() && std::prev(after)->second > offset)
    return std::prev(after);
  return after;
}

std::uint64_t offset_set::add(offset_range range) {
  std::uint64_t first = range.first.value;
  std::uint64_t end = range.end.value;
  if (first >= end)
    return 0;
  auto at = ranges_.upper_bound(first);
  if (at != ranges_.begin() && std::prev(at)->second >= first) {
    --at; // it begins at or before `first` and reaches or touches it
    if (at->second >= end)
      return 0;
    std::uint64_t added = end - at->second;
    auto next = std::next(at);
    while (next != ranges_.end() && next->first <= end) {
      added -= std::min(end, next->second) - next->first;
      end = std::max(end, next->second);
      next = ranges_.erase(next);
    }
    at->second = end;
    count_ += added;
    return added;
  }
  std::uint64_t added = end - first;
  while (at != ranges_.end() && at->first <= end) {
    added -= std::min(end, at->second) - at->first;
    end = std::max(end, at->second);
    at = ranges_.erase(at);
  }
  ranges_.emplace_hint(at, first, end);
  count_ += added;
  return added;
}

std::uint64_t offset_set::remove(offset_range range) {
  const std::uint64_t first = range.first.value;
  const std::uint64_t end = range.end.value;
  if (first >= end || ranges_.empty())
    return 0;
  std::uint64_t removed = 0;
  auto at = ranges_.upper_bound(first);
  if (at != ranges_.begin() && std::prev(at)->second > first)
    --at;
  while (at != ranges_.end() && at->first < end) {
    const auto [low, high] = *at;
    removed += std::min(high, end) - std::max(low, first);
    if (low < first)
      at->second = first;
    if (high > end) {
      // The rest keeps its node, under a new key, when nothing is left before it.
      if (low < first) {
        ranges_.emplace_hint(std::next(at), end, high);
      } else {
        const auto after = std::next(at);
        auto node = ranges_.extract(at);
        node.key() = end;
        ranges_.insert(after, std::move(node));
      }
      break;
    }
    at = low < first ? std::next(at) : ranges_.erase(at);
  }
  count_ -= removed;
  return removed;
}

void offset_set::unite(const offset_set& other) {
  for (const auto& [first, end] : other.ranges_)
    add({message_offset{first}, message_offset{end}});
}

bool offset_set::contains(message_offset offset) const {
  const auto after = ranges_.upper_bound(offset.value);
  return after != ranges_.begin() && std::prev(after)->second > offset.value;
}

message_offset offset_set::first() const {
  WAYBILL_ASSERT(!ranges_.empty());
  return message_offset{ranges_.begin()->first};
}

message_offset offset_set::end() const noexcept {
  return ranges_.empty() ? message_offset{} : message_offset{ranges_.rbegin()->second};
}

message_offset offset_set::floor() const {
  if (ranges_.empty() || ranges_.begin()->first != 0)
    return {};
  return message_offset{ranges_.begin()->second};
}

message_offset offset_set::first_outside(message_offset from) const {
  const auto at = covering_or_after(from.value);
  return at != ranges_.end() && at->first <= from.value ? message_offset{at->second} : from;
}

std::optional<message_offset> offset_set::first_inside(message_offset from) const {
  const auto at = covering_or_after(from.value);
  if (at == ranges_.end())
    return std::nullopt;
  return message_offset{std::max(at->first, from.value)};
}

std::vector<offset_range> offset_set::ranges() const {
  std::vector<offset_range> all;
  all.reserve(ranges_.size());
  for (const auto& [first, end] : ranges_)
    all.push_back({message_offset{first}, message_offset{end}});
  return all;
}

std::vector<offset_range> offset_set::inside(offset_range within) const {
  std::vector<offset_range> found;
  if (within.first >= within.end)
    return found;
  for (auto at = covering_or_after(within.first.value);
       at != ranges_.end() && at->first < within.end.value; ++at) {
    found.push_back({message_offset{std::max(at->first, within.first.value)},
                     message_offset{std::min(at->second, within.end.value)}});
  }
  return found;
}

std::vector<offset_range> offset_set::outside(offset_range within) const {
  std::vector<offset_range> found;
  std::uint64_t from = within.first.value;
  for (auto at = covering_or_after(from); at != ranges_.end() && at->first < within.end.value;
       ++at) {
    if (at->first > from)
      found.push_back({message_offset{from}, message_offset{at->first}});
    from = at->second;
  }
  if (from < within.end.value)
    found.push_back({message_offset{from}, within.end});
  return found;
}

offset_set offset_set::intersection(const offset_set& a, const offset_set& b) {
  offset_set both;
  auto left = a.ranges_.begin();
  auto right = b.ranges_.begin();
  while (left != a.ranges_.end() && right != b.ranges_.end()) {
    const auto first = std::max(left->first, right->first);
    const auto end = std::min(left->second, right->second);
    if (first < end) {
      both.ranges_.emplace_hint(both.ranges_.end(), first, end);
      both.count_ += end - first;
    }
    if (left->second < right->second)
      ++left;
    else
      ++right;
  }
  return both;
}

} // namespace waybill
