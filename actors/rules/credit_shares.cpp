#include "actors/rules/credit_shares.hpp"

#include "storage/assert.hpp"

#include <algorithm>

namespace waybill {

credit_shares::credit_shares(std::size_t partitions, std::uint32_t messages, std::uint64_t bytes)
    : messages_{messages}, bytes_{bytes}, parts_(partitions) {
  WAYBILL_ASSERT(partitions >= 1 && messages >= 1);
  for (std::size_t i = 0; i < partitions; ++i)
    parts_[i].share =
        static_cast<std::uint32_t>(messages / partitions + (i < messages % partitions));
}

std::uint64_t credit_shares::bytes_of(std::uint32_t messages) const {
  if (messages == 0)
    return 0;
  const auto whole = static_cast<unsigned __int128>(bytes_) * messages / messages_;
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(whole));
}

credit_share credit_shares::share(std::size_t partition) const {
  const auto& p = parts_[partition];
  const auto messages = p.lowered.value_or(p.share);
  return {messages, bytes_of(messages)};
}

void credit_shares::delivered(std::size_t partition, std::uint32_t messages) {
  parts_[partition].out += messages;
}

void credit_shares::released(std::size_t partition, std::uint32_t messages) {
  auto& p = parts_[partition];
  p.out -= std::min(p.out, messages);
}

void credit_shares::forgotten(std::size_t partition) {
  auto& p = parts_[partition];
  p.out = 0;
  p.share = p.lowered.value_or(p.share);
  p.lowered.reset();
}

bool credit_shares::busy(const part& p) const {
  const auto told = p.lowered.value_or(p.share);
  return told > 0 && std::uint64_t{p.out} * 4 >= std::uint64_t{told} * 3;
}

std::uint64_t credit_shares::used() const {
  std::uint64_t sum = 0;
  for (const auto& p : parts_)
    sum += std::max(p.share, p.out);
  return sum;
}

std::uint64_t credit_shares::out() const {
  std::uint64_t sum = 0;
  for (const auto& p : parts_)
    sum += p.out;
  return sum;
}

bool credit_shares::wanting() const {
  return used() > messages_ || std::ranges::any_of(parts_, [this](const part& p) {
           return p.lowered || p.share == 0 || busy(p);
         });
}

void credit_shares::lower(std::size_t partition, std::uint32_t to, std::vector<change>& changes) {
  auto& p = parts_[partition];
  if (p.lowered || p.share <= to)
    return;
  p.lowered = to;
  changes.push_back({partition, share(partition)});
}

std::vector<credit_shares::change> credit_shares::rebalance() {
  std::vector<change> changes;
  const auto starved = static_cast<std::uint32_t>(std::ranges::count(parts_, 0u, &part::share));
  const auto working = static_cast<std::uint32_t>(
      std::ranges::count_if(parts_, [this](const part& p) { return busy(p); }));
  const auto fair =
      std::max<std::uint32_t>(1, messages_ / std::max<std::uint32_t>(1, working + starved));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const auto& p = parts_[i];
    const bool idle = p.out == 0;
    if (used() > messages_ && p.share > 0)
      lower(i, static_cast<std::uint32_t>(std::uint64_t{messages_} / parts_.size()), changes);
    else if (idle && starved > 0)
      lower(i, 0, changes); // there is less credit than partitions: it goes round
    else if (idle && working > 0)
      lower(i, 1, changes);
    else if (busy(p) && working > 1 && p.share > fair + fair / 2)
      lower(i, fair, changes);
  }
  give_free(changes);
  return changes;
}

void credit_shares::give_free(std::vector<change>& changes) {
  auto free = messages_ > used() ? messages_ - used() : 0;
  const auto raise = [&](std::size_t i, std::uint64_t by) {
    parts_[i].share += static_cast<std::uint32_t>(by);
    free -= by;
    changes.push_back({i, share(i)});
  };
  for (std::size_t n = 0; n < parts_.size() && free > 0; ++n) {
    const auto i = (next_starved_ + n) % parts_.size();
    if (parts_[i].share == 0 && !parts_[i].lowered) {
      raise(i, 1);
      next_starved_ = i + 1;
    }
  }
  auto working = static_cast<std::uint64_t>(
      std::ranges::count_if(parts_, [this](const part& p) { return busy(p) && !p.lowered; }));
  for (std::size_t i = 0; i < parts_.size() && free > 0 && working > 0; ++i)
    if (busy(parts_[i]) && !parts_[i].lowered)
      raise(i, std::max<std::uint64_t>(1, free / working--));
}

void credit_shares::confirmed(std::size_t partition) {
  auto& p = parts_[partition];
  if (p.lowered)
    p.share = *p.lowered;
  p.lowered.reset();
}

void credit_shares::resize(std::uint32_t messages, std::uint64_t bytes) {
  WAYBILL_ASSERT(messages >= 1);
  messages_ = messages;
  bytes_ = bytes;
}

} // namespace waybill
