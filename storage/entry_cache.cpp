#include "storage/entry_cache.hpp"

#include "storage/records_codec.hpp"

namespace waybill {

std::uint64_t bytes_held_by(const cached_entry& what) {
  constexpr std::uint64_t message_bytes =
      sizeof(decltype(what.sizes)::value_type) + sizeof(decltype(what.keys)::value_type);
  return what.content.body.size() + message_bytes * what.content.message_count;
}

result<cached_entry_ptr> make_cached_entry(const entry& e) {
  auto made = std::make_shared<cached_entry>();
  made->content = e;
  if (e.kind == entry_kind::redrive) {
    auto record = decode_redrive_record(e.body.view());
    if (!record)
      return record.error();
    made->batch = shared_bytes{std::move(record->batch)};
    return made;
  }
  const auto body = decode_publish_body(e.body.view());
  if (!body)
    return body.error();
  made->batch = e.body.slice(body->batch);
  return made;
}

void entry_cache::put(const cached_entry_ptr& what) {
  const place at{what->content.partition, what->content.first_offset};
  const std::lock_guard lock{guard_};
  auto& held = entries_[at];
  if (held)
    bytes_ -= bytes_held_by(*held);
  held = what;
  bytes_ += bytes_held_by(*what);
  by_age_.emplace_back(at, what);
  evict_over(bytes_max_);
}

void entry_cache::evict_over(std::uint64_t bytes_max) {
  while (!by_age_.empty() && (bytes_ > bytes_max || by_age_.size() > 2 * entries_.size() + 16)) {
    const auto& [at, what] = by_age_.front();
    // One that was put again, or forgotten, is no longer this one's to remove.
    if (const auto found = entries_.find(at); found != entries_.end() && found->second == what) {
      bytes_ -= bytes_held_by(*what);
      entries_.erase(found);
    }
    by_age_.pop_front();
  }
}

cached_entry_ptr entry_cache::find(partition_id partition, message_offset offset) const {
  const std::lock_guard lock{guard_};
  auto after = entries_.upper_bound({partition, offset});
  if (after == entries_.begin())
    return nullptr;
  const auto& [at, what] = *--after;
  if (at.first != partition || offset >= offsets_of(what->content).end)
    return nullptr;
  return what;
}

void entry_cache::forget(partition_id partition) {
  const std::lock_guard lock{guard_};
  auto each = entries_.lower_bound({partition, message_offset{}});
  while (each != entries_.end() && each->first.first == partition) {
    bytes_ -= bytes_held_by(*each->second);
    each = entries_.erase(each);
  }
}

std::uint64_t entry_cache::bytes() const {
  const std::lock_guard lock{guard_};
  return bytes_;
}

} // namespace waybill
