// Sealing the active generation: its table of contents is on the disk before the next one takes
// entries.
#include "storage/store_impl.hpp"

#include "storage/assert.hpp"

#include <algorithm>

namespace waybill {

result<void> store_impl::seal_if_full() {
  if (active_bytes_ < options_.generation_bytes && active_entries_ < options_.generation_entries)
    return {};
  return seal();
}

table_of_contents store_impl::build_table(generation_batch& batch) const {
  table_of_contents table;
  table.last_sequence = next_sequence_ - 1;
  std::uint32_t number = 0;
  for (const auto& [id, index] : partitions_) {
    if (index.active.size() == 0)
      continue;
    auto& pages = table.partitions[id];
    const auto entries = index.active.all();
    for (std::size_t at = 0; at < entries.size(); at += page_entries_max) {
      const auto count = std::min(page_entries_max, entries.size() - at);
      const auto piece = std::span{entries}.subspan(at, count);
      const auto encoded = encode_page(piece);
      batch.put_page(number, encoded);
      pages.push_back(summarise(piece, number, encoded));
      ++number;
    }
  }
  batch.put_table(encode_table(table));
  return table;
}

result<void> store_impl::seal() {
  generation_batch batch;
  auto table = build_table(batch);
  if (auto written = active_->write(batch); !written)
    return written;
  auto next = take_next();
  if (!next)
    return next.error();
  generation_record sealed{generation_state::sealed, active_first_sequence_, next_sequence_, {}};
  for (const auto& [id, pages] : table.partitions)
    sealed.parts.push_back({id, {pages.front().entries.first, pages.back().entries.last}});
  state_batch small;
  small.put_generation(active_->number(), sealed);
  small.put_generation((*next)->number(), {generation_state::begun, next_sequence_, 0, {}});
  if (auto written = state_->commit(small); !written)
    return written;
  retire_active(std::move(table), std::move(*next));
  return {};
}

void store_impl::retire_active(table_of_contents table, generation_ptr next) {
  std::lock_guard lock{mutex_};
  auto& sealed = sealed_[active_->number()];
  sealed.where = active_;
  sealed.first_sequence = active_first_sequence_;
  sealed.end_sequence = next_sequence_;
  sealed.bytes = active_bytes_;
  for (auto& [id, pages] : table.partitions) {
    auto& index = partitions_.at(id);
    index.active = {};
    index.sealed[active_->number()] = {active_, std::move(pages)};
    sealed.partitions.insert(id);
  }
  active_ = std::move(next);
  active_first_sequence_ = next_sequence_;
  active_bytes_ = 0;
  active_entries_ = 0;
}

void store_impl::prepare_next() {
  const bool half_full = 2 * active_bytes_ >= options_.generation_bytes ||
                         2 * active_entries_ >= options_.generation_entries;
  if (next_.valid() || !half_full)
    return;
  auto promise = std::make_shared<std::promise<result<generation_ptr>>>();
  next_ = promise->get_future();
  worker_.run([this, promise, number = active_->number() + 1] {
    promise->set_value(generation::create(levels_, open_, directory_->journal(), number));
  });
}

result<generation_ptr> store_impl::take_next() {
  if (!next_.valid())
    return generation::create(levels_, open_, directory_->journal(), active_->number() + 1);
  return next_.get();
}

} // namespace waybill
