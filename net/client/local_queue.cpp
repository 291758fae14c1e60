#include "net/client/local_queue.hpp"

#include "storage/assert.hpp"

namespace waybill::client_parts {

void local_queue::push(queued_message what) {
  const auto where = place_of(what);
  forget(where.first, where.second);
  bytes_ += what.bytes;
  order_.push_back(std::move(what));
  by_place_.emplace(where, std::prev(order_.end()));
}

queued_message local_queue::pop() {
  WAYBILL_ASSERT(!order_.empty());
  auto first = std::move(order_.front());
  bytes_ -= first.bytes;
  by_place_.erase(place_of(first));
  order_.pop_front();
  return first;
}

void local_queue::forget(std::uint32_t partition, message_offset offset) {
  if (const auto found = by_place_.find({partition, offset}); found != by_place_.end())
    erase(found);
}

void local_queue::forget(std::uint32_t partition) {
  auto at = by_place_.lower_bound({partition, message_offset{}});
  while (at != by_place_.end() && at->first.first == partition)
    at = erase(at);
}

void local_queue::clear() {
  order_.clear();
  by_place_.clear();
  bytes_ = 0;
}

local_queue::places::iterator local_queue::erase(places::iterator which) {
  bytes_ -= which->second->bytes;
  order_.erase(which->second);
  return by_place_.erase(which);
}

} // namespace waybill::client_parts
