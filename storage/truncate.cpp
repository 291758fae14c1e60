// Dropping a log's tail. Where it lies in the active generation alone, its keys go in the same
// synced batch that writes what replaces them. Otherwise it goes from the top down, each generation
// synced before the next, and what replaces it is written last: a crash leaves the old tail, a
// shorter one, or the new one. Source: docs/design.md, section 5 ("Truncation deletes").
#include "storage/store_impl.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <algorithm>

namespace waybill {

result<void> store_impl::truncate(partition_id partition, log_index keep,
                                  std::span<const entry> replacement) {
  if (auto fine = usable(); !fine)
    return fine;
  const auto found = partitions_.find(partition);
  if (found == partitions_.end())
    return failure{ec::unknown_partition,
                   "no copy of partition " + name_of(partition) + " lives here"};
  auto& index = found->second;
  if (index.damage)
    return *index.damage;
  WAYBILL_ASSERT(keep <= index.last.index);
  WAYBILL_ASSERT(!index.checkpointed || keep >= index.checkpointed->index);
  const auto place = place_of_cut(index, keep);
  if (!place)
    return poison(place.error());
  for (const auto& e : replacement)
    WAYBILL_ASSERT(e.partition == partition);
  check_chain(replacement, {{partition, place->end}});
  std::uint64_t bytes = 0;
  for (const auto& e : replacement)
    bytes += entry_header_bytes + e.body.size();
  if (auto room = check_room(bytes); !room)
    return room;

  std::vector<std::uint64_t> reached; // sealed generations, the newest first
  for (auto part = index.sealed.rbegin(); part != index.sealed.rend(); ++part)
    if (part->second.pages.back().entries.last > keep)
      reached.push_back(part->first);
  if (reached.empty())
    return poisoned_by(cut_active(index, *place, replacement));
  end_log_at(index, *place); // readers see the tail no more
  if (auto cut = poisoned_by(cut_active(index, *place, {})); !cut)
    return cut;
  for (const auto number : reached)
    if (auto cut = poisoned_by(cut_sealed(index, number, keep)); !cut)
      return cut;
  if (replacement.empty())
    return {};
  return poisoned_by(cut_active(index, *place, replacement));
}

result<store_impl::cut_place> store_impl::place_of_cut(const partition_index& index,
                                                       log_index keep) const {
  if (keep.value == 0)
    return cut_place{};
  if (keep == index.last.index)
    return cut_place{{index.last, index.next_offset}, index.last_stamp};
  const auto kept = entry_at(index.id, keep);
  if (!kept)
    return kept.error();
  if (*kept)
    return cut_place{{position_of(**kept), offsets_of(**kept).end}, (*kept)->stamped};
  // Dropped already: then it is where the checkpoint stands, for nothing after that is ever
  // dropped.
  WAYBILL_ASSERT(index.checkpointed && index.checkpointed->index == keep);
  const auto stored = state_->read_checkpoint(index.id);
  if (!stored)
    return stored.error();
  WAYBILL_ASSERT(stored->has_value());
  const auto& state = (*stored)->state;
  return cut_place{{state.at, state.next_offset}, state.last_stamp};
}

void store_impl::end_log_at(partition_index& index, const cut_place& place) {
  std::lock_guard lock{mutex_};
  index.last = place.end.last;
  index.next_offset = place.end.next_offset;
  index.last_stamp = place.last_stamp;
}

result<void> store_impl::cut_active(partition_index& index, const cut_place& place,
                                    std::span<const entry> replacement) {
  const auto keep = place.end.last.index;
  const auto cut = std::ranges::count_if(index.active.fresh(),
                                         [keep](const table_entry& e) { return e.index > keep; });
  if (cut == 0 && replacement.empty())
    return {};
  generation_batch batch;
  for (const auto& e : index.active.fresh())
    if (e.index > keep)
      batch.remove(e.sequence);
  const auto first = put_entries(batch, replacement);
  batch.put_last_sequence(next_sequence_ - 1);
  if (auto written = active_->write(batch); !written)
    return written;
  end_log_at(index, place);
  {
    std::lock_guard lock{mutex_};
    index.active.cut_after(keep);
  }
  index_entries(replacement, first);
  return {};
}

result<void> store_impl::cut_sealed(partition_index& index, std::uint64_t number, log_index keep) {
  auto& generation = sealed_.at(number);
  const auto& part = index.sealed.at(number);
  table_of_contents table;
  table.last_sequence = generation.end_sequence - 1;
  std::uint32_t next_page = 0;
  for (const auto& id : generation.partitions) {
    const auto& pages = table.partitions[id] = partitions_.at(id).sealed.at(number).pages;
    for (const auto& each : pages)
      next_page = std::max(next_page, each.number + 1);
  }
  auto& pages = table.partitions.at(index.id);
  generation_batch batch;
  std::uint64_t bytes_cut = 0;
  while (!pages.empty() && pages.back().entries.last > keep) {
    const auto summary = pages.back();
    auto entries = read_whole_page(part, summary);
    if (!entries)
      return failure{ec::storage_failed, entries.error().detail};
    pages.pop_back();
    batch.remove_page(summary.number);
    for (; !entries->empty() && entries->back().index > keep; entries->pop_back()) {
      batch.remove(entries->back().sequence);
      bytes_cut += entries->back().bytes;
    }
    if (entries->empty())
      continue;
    const auto encoded = encode_page(*entries); // a new number: no page changes under its own
    batch.put_page(next_page, encoded);
    pages.push_back(summarise(*entries, next_page, encoded));
  }
  if (pages.empty())
    table.partitions.erase(index.id);
  batch.put_table(encode_table(table));
  if (auto written = generation.where->write(batch); !written)
    return written;
  std::lock_guard lock{mutex_};
  generation.bytes -= bytes_cut;
  generation.check = true;
  if (const auto rest = table.partitions.find(index.id); rest != table.partitions.end()) {
    index.sealed.at(number).pages = std::move(rest->second);
    return {};
  }
  index.sealed.erase(number);
  generation.partitions.erase(index.id);
  return {};
}

} // namespace waybill
