// See histogram.hpp.
#include "apps/waybill/bench/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace waybill::cli::bench {

std::size_t histogram::bucket_of(std::uint64_t ns) noexcept {
  if (ns < 512)
    return static_cast<std::size_t>(ns);
  const auto power = static_cast<std::size_t>(std::bit_width(ns)) - 1; // 9 at least
  const auto within = static_cast<std::size_t>(ns >> (power - 8)) - 256;
  return 512 + (power - 9) * 256 + within;
}

std::uint64_t histogram::end_of(std::size_t bucket) noexcept {
  if (bucket < 512)
    return bucket;
  const auto power = (bucket - 512) / 256 + 9;
  const auto within = (bucket - 512) % 256;
  return ((within + 257ull) << (power - 8)) - 1;
}

void histogram::add(span sample) {
  const auto ns = static_cast<std::uint64_t>(std::max<span::rep>(sample.count(), 0));
  ++counts_[bucket_of(ns)];
  ++count_;
}

void histogram::add(const histogram& other) {
  for (std::size_t bucket = 0; bucket < buckets; ++bucket)
    counts_[bucket] += other.counts_[bucket];
  count_ += other.count_;
}

histogram::span histogram::percentile(double part) const {
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= wanted)
      return span{static_cast<span::rep>(end_of(bucket))};
  }
  return span{0};
}

} // namespace waybill::cli::bench
