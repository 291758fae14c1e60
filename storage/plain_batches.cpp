#include "storage/plain_batches.hpp"

#include "storage/compression.hpp"

namespace waybill {

namespace {

constexpr std::uint64_t overhead_bytes = 256; ///< of holding one, so that small ones are few too

std::uint64_t charge_of(const shared_bytes& batch) { return batch.size() + overhead_bytes; }

} // namespace

result<shared_bytes> plain_batches::of(const cached_entry& what) {
  if (!is_compressed(what.batch.view()))
    return what.batch;
  if (auto found = find(what.content.hash))
    return *std::move(found);
  auto plain = plain_batch(what.batch); // without the lock: others need not wait for it
  if (plain)
    keep(what.content.hash, *plain);
  return plain;
}

std::optional<shared_bytes> plain_batches::find(const hash128& entry) {
  const std::lock_guard lock{guard_};
  const auto found = places_.find(entry);
  if (found == places_.end())
    return std::nullopt;
  held_.splice(held_.begin(), held_, found->second);
  return held_.front().batch;
}

void plain_batches::keep(const hash128& entry, const shared_bytes& batch) {
  const std::lock_guard lock{guard_};
  if (charge_of(batch) > bytes_max_ || places_.contains(entry))
    return;
  held_.push_front({entry, batch});
  places_[entry] = held_.begin();
  bytes_ += charge_of(batch);
  while (bytes_ > bytes_max_) {
    bytes_ -= charge_of(held_.back().batch);
    places_.erase(held_.back().entry);
    held_.pop_back();
  }
}

std::uint64_t plain_batches::bytes() const {
  const std::lock_guard lock{guard_};
  return bytes_;
}

} // namespace waybill
