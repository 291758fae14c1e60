// See histogram.hpp.
#include "apps/waybill/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace waybill::cli {

std::size_t histogram::bucket_of(std::uint64_t ns) noexcept {
  if (ns < 64)
    return static_cast<std::size_t>(ns);
  const auto power = static_cast<std::size_t>(std::bit_width(ns)) - 1; // 6 at least
  const auto within = static_cast<std::size_t>(ns >> (power - 5)) - 32;
  return 64 + (power - 6) * 32 + within;
}

std::uint64_t histogram::end_of(std::size_t bucket) noexcept {
  if (bucket < 64)
    return bucket;
  const auto power = (bucket - 64) / 32 + 6;
  const auto within = (bucket - 64) % 32;
  return ((within + 33ull) << (power - 5)) - 1;
}

void histogram::add(span sample) {
  const auto ns = static_cast<std::uint64_t>(std::max<span::rep>(sample.count(), 0));
  ++counts_[bucket_of(ns)];
  ++count_;
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

} // namespace waybill::cli
