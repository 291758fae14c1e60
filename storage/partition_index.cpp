// Finding entries of one partition over all generations.
#include "storage/partition_index.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <iterator>

namespace waybill {
namespace {

auto page_at_or_after(const std::vector<page_summary>& pages, log_index from) {
  return std::ranges::lower_bound(pages, from, {},
                                  [](const page_summary& s) { return s.entries.last; });
}

auto page_behind(const std::vector<page_summary>& pages, message_offset offset) {
  return std::ranges::upper_bound(pages, offset, {},
                                  [](const page_summary& s) { return s.offsets.end; });
}

auto entry_at_or_after(const page& entries, log_index from) {
  return std::ranges::lower_bound(entries, from, {}, &table_entry::index);
}

/// The index of the first entry at or after `from` in the part; 0: none. Reads only pages with
/// gaps.
log_index first_index(const sealed_part& part, log_index from, page_view& pages) {
  const auto found = page_at_or_after(part.pages, from);
  if (found == part.pages.end())
    return {};
  if (found->entries.first >= from)
    return found->entries.first;
  if (found->contiguous())
    return from;
  const auto* content = pages.find(part.where, *found);
  return content ? entry_at_or_after(*content, from)->index : log_index{};
}

} // namespace

std::optional<located> partition_index::at_or_after(log_index from,
                                                    const generation_ptr& active_one,
                                                    page_view& pages) const {
  for (;;) {
    log_index best;
    const sealed_part* best_part = nullptr;
    const table_entry* in_active = active.at_or_after(from);
    if (in_active)
      best = in_active->index;
    for (auto part = sealed.rbegin(); part != sealed.rend(); ++part) { // the newest first
      const auto index = first_index(part->second, from, pages);
      if (pages.misses())
        return std::nullopt;
      if (index.value != 0 && (best.value == 0 || index < best)) {
        best = index;
        best_part = &part->second;
      }
    }
    if (best.value == 0)
      return std::nullopt;
    if (const auto* gone = dropped_at(best)) { // an equal copy that was not destroyed yet
      from = log_index{gone->entries.last.value + 1};
      continue;
    }
    if (!best_part)
      return located{active_one, *in_active};
    const auto* content = pages.find(best_part->where, *page_at_or_after(best_part->pages, best));
    if (!content)
      return std::nullopt;
    return located{best_part->where, *entry_at_or_after(*content, best)};
  }
}

std::optional<located> partition_index::with_offset(message_offset offset,
                                                    const generation_ptr& active_one,
                                                    page_view& pages) const {
  const auto unless_dropped = [this](located found) -> std::optional<located> {
    if (dropped_at(found.what.index))
      return std::nullopt;
    return found;
  };
  if (const auto* found = active.with_offset(offset))
    return unless_dropped({active_one, *found});
  for (auto part = sealed.rbegin(); part != sealed.rend(); ++part) {
    const auto& [where, summaries] = part->second;
    const auto candidate = page_behind(summaries, offset);
    if (candidate == summaries.end() || candidate->offsets.first > offset)
      continue;
    const auto* content = pages.find(where, *candidate);
    if (!content)
      return std::nullopt;
    const auto found = std::ranges::upper_bound(*content, offset, {}, end_offset);
    if (found != content->end() && found->first_offset <= offset)
      return unless_dropped({where, *found});
  }
  return std::nullopt;
}

std::optional<message_offset> partition_index::first_message(message_offset offset,
                                                             page_view& pages) const {
  std::optional<message_offset> best;
  const auto consider = [&](const page& entries) {
    auto each = std::ranges::upper_bound(entries, offset, {}, end_offset);
    while (each != entries.end() && (each->message_count == 0 || dropped_at(each->index)))
      ++each;
    if (each == entries.end())
      return false;
    const auto found = std::max(offset, each->first_offset);
    best = best ? std::min(*best, found) : found;
    return true;
  };
  consider(active.fresh());
  consider(active.moved());
  for (const auto& [number, part] : sealed) {
    for (auto s = page_behind(part.pages, offset); s != part.pages.end(); ++s) {
      if (s->messages == 0)
        continue;
      if (best && s->offsets.first >= *best)
        break;
      const auto* content = pages.find(part.where, *s);
      if (!content)
        return std::nullopt;
      if (consider(*content))
        break;
    }
  }
  return best;
}

bool partition_index::has_newer_copy(log_index index, std::uint64_t generation,
                                     page_view& pages) const {
  if (active.contains(index))
    return true;
  for (auto part = sealed.upper_bound(generation); part != sealed.end(); ++part) {
    if (first_index(part->second, index, pages) == index)
      return true;
    if (pages.misses())
      return false;
  }
  return false;
}

bool partition_index::is_needed(const offset_range& offsets) const {
  if (offsets.first == offsets.end)
    return false;
  const auto range = std::ranges::upper_bound(needed, offsets.first, {}, &offset_range::end);
  return range != needed.end() && range->first < offsets.end;
}

bool partition_index::is_dead(const table_entry& e) const {
  return checkpointed && e.index <= checkpointed->index &&
         !is_needed({e.first_offset, end_offset(e)});
}

const dropped_range* partition_index::dropped_at(log_index index) const {
  const auto range = std::ranges::lower_bound(
      dropped.ranges, index, {}, [](const dropped_range& r) { return r.entries.last; });
  return range != dropped.ranges.end() && range->entries.first <= index ? &*range : nullptr;
}

void add_dropped(dropped_books& books, const dropped_range& range, std::uint64_t messages) {
  auto& ranges = books.ranges;
  books.messages += messages;
  auto next = std::ranges::lower_bound(ranges, range.entries.first, {},
                                       [](const dropped_range& r) { return r.entries.first; });
  WAYBILL_ASSERT(next == ranges.end() || range.entries.last < next->entries.first);
  if (next != ranges.begin()) {
    auto& before = *std::prev(next);
    WAYBILL_ASSERT(before.entries.last < range.entries.first);
    if (before.entries.last.value + 1 == range.entries.first.value) {
      WAYBILL_ASSERT(before.after == range.before); // or what was dropped was not one chain
      before.entries.last = range.entries.last;
      before.after = range.after;
      before.offsets.end = range.offsets.end;
      if (next != ranges.end() && before.entries.last.value + 1 == next->entries.first.value) {
        WAYBILL_ASSERT(before.after == next->before);
        before.entries.last = next->entries.last;
        before.after = next->after;
        before.offsets.end = next->offsets.end;
        ranges.erase(next);
      }
      return;
    }
  }
  if (next != ranges.end() && range.entries.last.value + 1 == next->entries.first.value) {
    WAYBILL_ASSERT(range.after == next->before);
    next->entries.first = range.entries.first;
    next->before = range.before;
    next->offsets.first = range.offsets.first;
    return;
  }
  ranges.insert(next, range);
}

} // namespace waybill
