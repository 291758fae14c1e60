// Which messages of a measurement have arrived: each must, and those that come twice are counted.
#pragma once

#include <cstdint>
#include <vector>

namespace waybill::cli::bench {

/// Messages are numbered from 0 on, in the order in which they were sent.
class arrivals {
public:
  /// @returns whether it is the first time
  bool add(std::uint64_t number) {
    if (number >= seen_.size())
      seen_.resize(number + 1 + number / 2);
    if (seen_[number]) {
      ++duplicates_;
      return false;
    }
    seen_[number] = true;
    ++count_;
    return true;
  }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; } ///< different ones
  [[nodiscard]] std::uint64_t duplicates() const noexcept { return duplicates_; }
  /// Of the first `sent` numbers, those that have not arrived, but for the `unconfirmed` ones, of
  /// which nobody knows whether they will.
  [[nodiscard]] std::uint64_t missing(std::uint64_t sent,
                                      const std::vector<std::uint64_t>& unconfirmed) const;

private:
  [[nodiscard]] bool has(std::uint64_t number) const {
    return number < seen_.size() && seen_[number];
  }
  std::vector<bool> seen_;
  std::uint64_t count_ = 0;
  std::uint64_t duplicates_ = 0;
};

} // namespace waybill::cli::bench
