#include "actors/partition/delivery_pump.hpp"

#include "storage/assert.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::uint64_t ahead_bytes_max = 4u << 20;

void fill_sizes(cached_entry& what) {
  if (!what.sizes.empty())
    return;
  auto sizes = message_sizes(what.batch.view());
  WAYBILL_ASSERT(sizes && sizes->size() == what.content.message_count); // checked on arrival
  what.sizes = *std::move(sizes);
}

bool holds(const cached_entry& what, message_offset offset) {
  return what.content.first_offset <= offset && offset < offsets_of(what.content).end;
}

} // namespace

void delivery_pump::keep_ahead(const std::vector<cached_entry_ptr>& read) {
  for (const auto& each : read) {
    if (find_ahead(each->content.first_offset))
      continue;
    ahead_.push_back(each);
    ahead_bytes_ += each->content.body.size();
  }
  // What was read last stays whole: the first of it was asked for.
  while (ahead_.size() > std::max<std::size_t>(read.size(), 1) && ahead_bytes_ > ahead_bytes_max) {
    ahead_bytes_ -= ahead_.front()->content.body.size();
    ahead_.pop_front();
  }
}

void delivery_pump::let_go() { held_.clear(); }

cached_entry_ptr delivery_pump::find_ahead(message_offset offset) const {
  const auto found =
      std::ranges::find_if(ahead_, [&](const auto& each) { return holds(*each, offset); });
  return found == ahead_.end() ? nullptr : *found;
}

cached_entry_ptr delivery_pump::find(message_offset offset) {
  if (auto after = held_.upper_bound(offset); after != held_.begin())
    if (const auto& [first, what] = *--after; holds(*what, offset))
      return what;
  auto found = cache_.find(partition_, offset);
  if (!found)
    found = find_ahead(offset);
  if (found) {
    fill_sizes(*found);
    held_.insert_or_assign(found->content.first_offset, found); // the cache may let it go
  }
  return found;
}

std::optional<std::uint32_t> delivery_pump::size_of(message_offset offset) {
  const auto found = find(offset);
  if (!found)
    return std::nullopt;
  return found->sizes[offset.value - found->content.first_offset.value];
}

std::optional<std::uint64_t> delivery_pump::key_of(message_offset offset) {
  const auto found = find(offset);
  if (!found)
    return std::nullopt;
  if (found->keys.empty()) {
    auto keys = message_keys(found->batch.view());
    WAYBILL_ASSERT(keys && keys->size() == found->content.message_count); // checked on arrival
    found->keys = *std::move(keys);
  }
  return found->keys[offset.value - found->content.first_offset.value];
}

std::optional<delivery_pump::whole_message> delivery_pump::message_at(message_offset offset) {
  const auto found = find(offset);
  if (!found)
    return std::nullopt;
  const auto position =
      static_cast<std::uint32_t>(offset.value - found->content.first_offset.value);
  auto bytes = extract_message(found->batch.view(), position);
  WAYBILL_ASSERT(bytes); // checked on arrival, and by its hash when it was read
  return whole_message{*std::move(bytes), found->content.stamped};
}

std::map<consumer_id, chunks> delivery_pump::pack(const std::vector<delivery_order>& orders) {
  // Per consumer and entry, in the order in which they came.
  std::map<std::pair<consumer_id, message_offset>, std::vector<const delivery_order*>> together;
  std::map<message_offset, cached_entry_ptr> sources;
  cached_entry_ptr source;
  for (const auto& order : orders) {
    if (!source || !holds(*source, order.offset))
      source = find(order.offset);
    WAYBILL_ASSERT(source);
    const auto first = source->content.first_offset;
    sources[first] = source;
    together[{order.consumer, first}].push_back(&order);
  }
  std::map<consumer_id, chunks> result;
  for (auto& [key, some] : together) {
    std::ranges::sort(some, {}, &delivery_order::offset);
    result[key.first].push_back(make_chunk(*sources.at(key.second), some));
  }
  return result;
}

chunk delivery_pump::make_chunk(const cached_entry& from,
                                const std::vector<const delivery_order*>& orders) const {
  chunk result;
  result.partition = partition_.number;
  result.published = from.content.stamped;
  result.messages.reserve(orders.size());
  std::vector<std::uint32_t> positions;
  positions.reserve(orders.size());
  std::uint64_t wanted = 0;
  for (const auto* order : orders) {
    const auto position =
        static_cast<std::uint32_t>(order->offset.value - from.content.first_offset.value);
    positions.push_back(position);
    result.messages.push_back({order->offset, position, order->attempt, from.sizes[position]});
    wanted += from.sizes[position];
  }
  // Most of the batch: as it lies there, without a copy. Less: only what goes out.
  if (wanted * 2 >= from.batch.size() || orders.size() == from.sizes.size()) {
    result.batch = from.batch;
    return result;
  }
  auto cut = cut_batch(from.batch.view(), positions);
  WAYBILL_ASSERT(cut);
  result.batch = shared_bytes{*std::move(cut)};
  for (std::uint32_t place = 0; auto& each : result.messages)
    each.position = place++;
  return result;
}

} // namespace waybill
