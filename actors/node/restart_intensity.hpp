// How often a child may fail before its parent fails in its turn, as in OTP. Pure.
#pragma once

#include "config/limits.hpp"

#include <algorithm>
#include <deque>

namespace waybill {

class restart_intensity {
public:
  explicit restart_intensity(const supervision_limits& limits) : limits_{limits} {}
  /// A child failed at `now` (any origin, never falling). @returns whether it may be started again
  [[nodiscard]] bool may_restart(milliseconds now) {
    failures_.push_back(now);
    while (failures_.front() + limits_.restarts_within < now)
      failures_.pop_front();
    return failures_.size() <= limits_.restarts_max;
  }
  /// How long to wait before the next start: the first at once, then longer each time.
  [[nodiscard]] milliseconds delay() const {
    if (failures_.size() <= 1)
      return milliseconds{0};
    const auto doublings = std::min<std::size_t>(failures_.size() - 2, 6);
    return milliseconds{50} * (1 << doublings);
  }

private:
  supervision_limits limits_;
  std::deque<milliseconds> failures_;
};

} // namespace waybill
