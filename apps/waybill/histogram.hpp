// Counts spans of time in buckets of at most 3 % width: percentiles of any number of samples in a
// few kilobytes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace waybill::cli {

class histogram {
public:
  using span = std::chrono::nanoseconds;
  void add(span sample);
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// The span that so many of the samples (0 to 1) do not exceed, rounded up to its bucket's end;
  /// zero without samples.
  [[nodiscard]] span percentile(double part) const;

private:
  // Buckets below 64 ns are single; above, each power of two is cut into 32.
  static constexpr std::size_t buckets = 64 + 32 * 58;
  static std::size_t bucket_of(std::uint64_t ns) noexcept;
  static std::uint64_t end_of(std::size_t bucket) noexcept;
  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
};

} // namespace waybill::cli
