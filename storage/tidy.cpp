// Dropping: generations in which nothing lives are destroyed, those in which little does are
// emptied first. What was dropped is in the books, synced, before anything goes. Source:
// docs/design.md, section 5 ("Dropping").
#include "storage/store_impl.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <algorithm>

namespace waybill {
namespace {

/// What one step of tidying writes again, about.
constexpr std::uint64_t step_bytes_max = 4u << 20;

/// Messages of [first, end) that some group needs.
std::uint64_t count_needed(const partition_index& index, const offset_range& offsets) {
  std::uint64_t count = 0;
  auto range = std::ranges::upper_bound(index.needed, offsets.first, {}, &offset_range::end);
  for (; range != index.needed.end() && range->first < offsets.end; ++range)
    count += std::min(range->end, offsets.end).value - std::max(range->first, offsets.first).value;
  return count;
}

bool overlaps_dropped(const dropped_books& books, const index_range& entries) {
  const auto range = std::ranges::lower_bound(
      books.ranges, entries.first, {}, [](const dropped_range& r) { return r.entries.last; });
  return range != books.ranges.end() && range->entries.first <= entries.last;
}

} // namespace

result<bool> store_impl::tidy() {
  if (auto fine = usable(); !fine)
    return fine.error();
  {
    std::vector<std::string> said;
    std::unique_lock lock{mutex_};
    said.swap(worker_said_);
    lock.unlock();
    for (const auto& line : said)
      log(line);
  }
  std::lock_guard step{pins_->mutex};
  if (pins_->count > 0)
    return false; // who walks through the log keeps all of it
  for (auto& [number, generation] : sealed_) {
    if (!generation.check)
      continue;
    auto done = tidy_one(generation);
    if (!done)
      return poison(done.error());
    if (*done)
      return std::ranges::any_of(sealed_, [](const auto& each) { return each.second.check; });
  }
  return false;
}

/// @returns whether it was work enough for one step; the generation may be gone then
result<bool> store_impl::tidy_one(sealed_generation& generation) {
  auto found = judge(generation);
  if (!found && found.error().code == ec::damaged) {
    log("left alone: " + found.error().detail);
    generation.check = false;
    return true;
  }
  if (!found)
    return found.error();
  if (found->keep) {
    generation.check = false;
    generation.needed_when_kept = found->needed;
    return found->read_pages;
  }
  if (found->live_bytes > 0) {
    auto moved = move_live(generation, found->live);
    if (!moved && moved.error().code == ec::damaged) {
      log("left alone: " + moved.error().detail);
      generation.check = false;
      return true;
    }
    if (!moved)
      return moved.error();
    return true;
  }
  if (auto destroyed = destroy(generation); !destroyed)
    return destroyed.error();
  return true;
}

result<store_impl::verdict> store_impl::judge(const sealed_generation& generation) const {
  verdict found;
  const auto number = generation.where->number();
  for (const auto& id : generation.partitions) {
    const auto& index = partitions_.at(id);
    const auto& pages = index.sealed.at(number).pages;
    if (index.damage || !index.checkpointed ||
        pages.back().entries.last > index.checkpointed->index) {
      found.keep = true; // an entry that is not known to be committed keeps its generation
      found.needed = 0;  // nothing was counted
      return found;
    }
    for (const auto& summary : pages)
      found.needed += count_needed(index, summary.offsets);
  }
  found.keep = generation.needed_when_kept > 0 && found.needed >= generation.needed_when_kept;
  for (const auto& id : generation.partitions) {
    const auto& index = partitions_.at(id);
    const auto& part = index.sealed.at(number);
    for (const auto& summary : part.pages) {
      if (found.keep)
        return found;
      if (auto judged = judge_page(index, part, summary, found); !judged)
        return judged.error();
      found.keep = found.live_bytes > 0 &&
                   found.live_bytes * 100 >= generation.bytes * options_.empty_below_percent;
    }
  }
  return found;
}

result<void> store_impl::judge_page(const partition_index& index, const sealed_part& part,
                                    const page_summary& summary, verdict& so_far) const {
  if (!index.is_needed(summary.offsets))
    return {}; // all of it is dead
  const auto entries = read_whole_page(part, summary);
  if (!entries)
    return entries.error();
  so_far.read_pages = true;
  page_view pages{pages_};
  for (const auto& e : *entries) {
    if (index.is_dead(e))
      continue;
    bool moved = false;
    for (;;) {
      pages.begin();
      moved = index.has_newer_copy(e.index, part.where->number(), pages);
      if (!pages.misses())
        break;
      if (auto loaded = pages.load_missing(); !loaded)
        return loaded.error();
    }
    if (moved)
      continue;
    if (so_far.live_bytes < step_bytes_max)
      so_far.live.emplace_back(index.id, e);
    so_far.live_bytes += e.bytes;
  }
  return {};
}

result<void> store_impl::move_live(const sealed_generation& from,
                                   std::span<const std::pair<partition_id, table_entry>> live) {
  if (auto room = check_room(2 * step_bytes_max); !room)
    return room;
  if (auto sealed = seal_if_full(); !sealed)
    return sealed;
  generation_batch batch;
  std::vector<std::pair<partition_id, table_entry>> moved;
  std::uint64_t bytes = 0;
  auto sequence = next_sequence_;
  for (const auto& [id, e] : live) {
    const auto content = fetch(id, {from.where, e});
    if (!content)
      return content.error();
    std::string encoded;
    encode_entry(*content, encoded);
    bytes += encoded.size();
    moved.emplace_back(id, describe(*content, sequence));
    batch.put(sequence++, encoded);
  }
  next_sequence_ = sequence;
  if (auto written = active_->write(batch); !written)
    return written;
  std::lock_guard lock{mutex_};
  for (const auto& [id, e] : moved)
    partitions_.at(id).active.insert_moved(e);
  active_bytes_ += bytes;
  active_entries_ += moved.size();
  ++counters_.syncs;
  counters_.bytes_written += bytes;
  counters_.entries_rewritten += moved.size();
  return {};
}

result<void> store_impl::destroy(sealed_generation& generation) {
  const auto number = generation.where->number();
  state_batch batch;
  std::map<partition_id, dropped_books> books;
  for (const auto& id : generation.partitions) {
    const auto& index = partitions_.at(id);
    auto after = books_without(index, index.sealed.at(number));
    if (!after)
      return after.error();
    batch.put_dropped(id, *after);
    books.emplace(id, std::move(*after));
  }
  batch.put_generation(
      number, {generation_state::gone, generation.first_sequence, generation.end_sequence, {}});
  if (auto written = state_->commit(batch); !written)
    return written;
  auto where = generation.where;
  forget(number, std::move(books)); // `generation` is gone from here on
  // Its record stays until a start finds nothing of it: removed names may come back after a power
  // cut.
  worker_.run([this, where = std::move(where)] {
    if (auto destroyed = where->destroy(); !destroyed) {
      std::lock_guard lock{mutex_};
      worker_said_.push_back(destroyed.error().detail + "; the next start tries again");
    }
  });
  return {};
}

void store_impl::forget(std::uint64_t number, std::map<partition_id, dropped_books> books) {
  std::lock_guard lock{mutex_};
  for (auto& [id, after] : books) {
    auto& index = partitions_.at(id);
    index.dropped = std::move(after);
    index.sealed.erase(number);
  }
  sealed_.erase(number);
  ++counters_.generations_destroyed;
  pages_.forget_generation(number);
}

result<dropped_books> store_impl::books_without(const partition_index& index,
                                                const sealed_part& part) const {
  auto books = index.dropped;
  for (const auto& summary : part.pages) {
    if (summary.contiguous() && !index.is_needed(summary.offsets) &&
        !overlaps_dropped(books, summary.entries)) {
      add_dropped(books, {summary.entries, summary.before, summary.after, summary.offsets},
                  summary.messages);
      continue;
    }
    const auto entries = read_whole_page(part, summary);
    if (!entries)
      return failure{ec::storage_failed, entries.error().detail};
    for (const auto& e : *entries) {
      // What lives was written again before; what was dropped with a newer copy is in the books.
      if (!index.is_dead(e) || index.dropped_at(e.index))
        continue;
      add_dropped(books, {{e.index, e.index}, e.previous, e.hash, {e.first_offset, end_offset(e)}},
                  e.message_count);
    }
  }
  return books;
}

} // namespace waybill
