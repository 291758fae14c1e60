// Counts spans of time in buckets of at most 0.4 % width: percentiles of any number of samples in a
// hundred kilobytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace waybill::cli::bench {

class histogram {
public:
  using span = std::chrono::nanoseconds;
  void add(span sample);
  void add(const histogram& other);
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// The span that so many of the samples (0 to 1) do not exceed, rounded up to its bucket's end;
  /// zero without samples.
  [[nodiscard]] span percentile(double part) const;

private:
  // Buckets below 512 ns are single; above, each power of two is cut into 256.
  static constexpr std::size_t buckets = 512 + 256 * 55;
  static std::size_t bucket_of(std::uint64_t ns) noexcept;
  static std::uint64_t end_of(std::size_t bucket) noexcept;
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(buckets);
  std::uint64_t count_ = 0;
};

} // namespace waybill::cli::bench
