// Puts what becomes known in any order back into the order of its numbers.
#pragma once

#include "storage/assert.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace waybill::cli {

template <class T>
class in_order {
public:
  explicit in_order(std::uint64_t first) : next_{first} {}
  /// @pre each number once
  void put(std::uint64_t number, T value) {
    WAYBILL_ASSERT(number >= next_);
    const auto place = static_cast<std::size_t>(number - next_);
    if (place >= known_.size())
      known_.resize(place + 1);
    WAYBILL_ASSERT(!known_[place]);
    known_[place] = std::move(value);
  }
  [[nodiscard]] bool ready() const { return !known_.empty() && known_.front().has_value(); }
  /// What is known without a gap from the first number not taken, `most` at most.
  [[nodiscard]] std::vector<T> take_ready(std::size_t most) {
    std::vector<T> taken;
    for (; ready() && taken.size() < most; ++next_) {
      taken.push_back(std::move(*known_.front()));
      known_.pop_front();
    }
    return taken;
  }
  /// The first number that was not taken.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }

private:
  std::uint64_t next_;
  std::deque<std::optional<T>> known_;
};

} // namespace waybill::cli
