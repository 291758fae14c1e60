#include "actors/partition/delivery_pump.hpp"

#include "storage/assert.hpp"
#include "storage/compression.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::uint64_t ahead_bytes_max = 4u << 20;

bool holds(const cached_entry& what, message_offset offset) {
  return what.content.first_offset <= offset && offset < offsets_of(what.content).end;
}

} // namespace

void delivery_pump::keep_ahead(const std::vector<cached_entry_ptr>& read) {
  std::size_t fresh = 0;
  std::uint64_t fresh_bytes = 0;
  for (const auto& each : read) {
    const auto bytes = bytes_held_by(*each);
    if (fresh > 0 && fresh_bytes + bytes > ahead_bytes_max)
      break; // small compressed batches of many messages: the rest is read again when needed
    ++fresh;
    fresh_bytes += bytes;
    if (find_ahead(each->content.first_offset))
      continue;
    ahead_.push_back(each);
    ahead_bytes_ += bytes;
  }
  // What was read last stays: the first of it was asked for.
  while (ahead_.size() > std::max<std::size_t>(fresh, 1) && ahead_bytes_ > ahead_bytes_max) {
    ahead_bytes_ -= bytes_held_by(*ahead_.front());
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

shared_bytes delivery_pump::plain_of(const cached_entry& what) const {
  auto plain = plain_.of(what);
  WAYBILL_ASSERT(plain); // checked on arrival, and by its hash when it was read
  return *std::move(plain);
}

void delivery_pump::fill_sizes(cached_entry& what) const {
  if (!what.sizes.empty())
    return;
  auto sizes = message_sizes(plain_of(what).view());
  WAYBILL_ASSERT(sizes && sizes->size() == what.content.message_count); // checked on arrival
  what.sizes = *std::move(sizes);
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
    auto keys = message_keys(plain_of(*found).view());
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
  auto bytes = extract_message(plain_of(*found).view(), position);
  WAYBILL_ASSERT(bytes); // checked on arrival, and by its hash when it was read
  return whole_message{*std::move(bytes), found->content.stamped};
}

std::map<consumer_id, chunks> delivery_pump::pack(const std::vector<delivery_order>& orders) {
  // Per entry and consumer: a compressed one is taken apart for all of them in turn.
  std::map<std::pair<message_offset, consumer_id>, std::vector<const delivery_order*>> together;
  std::map<message_offset, cached_entry_ptr> sources;
  cached_entry_ptr source;
  for (const auto& order : orders) {
    if (!source || !holds(*source, order.offset))
      source = find(order.offset);
    WAYBILL_ASSERT(source);
    const auto first = source->content.first_offset;
    sources[first] = source;
    together[{first, order.consumer}].push_back(&order);
  }
  std::map<consumer_id, chunks> result;
  for (auto& [key, some] : together) {
    std::ranges::sort(some, {}, &delivery_order::offset);
    result[key.second].push_back(make_chunk(*sources.at(key.first), some));
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
  // Most of the batch: as it lies there, without a copy. Less: only what goes out, which is plain.
  if (wanted * 2 >= plain_bytes_of(from.batch.view()) || orders.size() == from.sizes.size()) {
    result.batch = from.batch;
    return result;
  }
  auto cut = cut_batch(plain_of(from).view(), positions);
  WAYBILL_ASSERT(cut);
  result.batch = shared_bytes{*std::move(cut)};
  for (std::uint32_t place = 0; auto& each : result.messages)
    each.position = place++;
  return result;
}

} // namespace waybill
