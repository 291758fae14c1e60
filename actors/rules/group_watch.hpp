// Whether a group in one partition is stuck, and whether its dead letters grow: people are told
// once, and not again and again while it wavers. Pure. Source: docs/design.md, section 6.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace waybill {

/// A group is stuck when it has had messages that are due (ready, or with a consumer) at every look
/// for `after`, and none was settled in that time: acknowledged, dead, or passed by a seek.
/// Messages that wait for a time of their own are not due. Over as soon as one is settled, or none
/// is due.
class stuck_watch {
public:
  using milliseconds = std::chrono::milliseconds;
  struct figures {
    std::uint64_t settled = 0;   ///< ever, by any way; changes with each
    std::uint64_t unsettled = 0; ///< now
    std::uint64_t due = 0;       ///< of them
  };

  /// `after` 0: never.
  explicit stuck_watch(milliseconds after) : after_{after} {}

  /// @returns whether what `is_stuck` says has changed
  bool look(const figures& seen, milliseconds now) {
    if (!since_ || seen.settled != settled_ || seen.due == 0)
      since_ = now;
    if (seen.due == 0)
      since_.reset();
    settled_ = seen.settled;
    const bool stuck = after_.count() > 0 && since_ && now - *since_ >= after_;
    // What is only delayed may become due without a word: it is looked at a few times in the span.
    next_ = seen.unsettled == 0 || after_.count() == 0 ? std::nullopt
            : since_ && !stuck                         ? std::optional{*since_ + after_}
                               : std::optional{now + std::max(after_ / 4, milliseconds{1})};
    return std::exchange(stuck_, stuck) != stuck;
  }
  [[nodiscard]] bool is_stuck() const noexcept { return stuck_; }
  /// When to look again, if nothing makes one look before.
  [[nodiscard]] std::optional<milliseconds> next() const noexcept { return next_; }
  /// Since when, as far as was seen. @pre it is stuck
  [[nodiscard]] milliseconds since() const { return *since_; }

private:
  milliseconds after_;
  std::uint64_t settled_ = 0;
  std::optional<milliseconds> since_, next_;
  bool stuck_ = false;
};

/// Dead letters grow when `most` more are held than when somebody looked last, or than the fewest
/// since then. Over when somebody looks, or below seven tenths of that.
class growth_watch {
public:
  /// `most` 0: never.
  explicit growth_watch(std::uint64_t most) : most_{most} {}

  /// @returns whether what `is_growing` says has changed
  bool look(std::uint64_t held) {
    seen_ = std::min(seen_, held);
    more_ = held - seen_;
    const bool growing = most_ > 0 && (growing_ ? more_ * 10 >= most_ * 7 : more_ >= most_);
    return std::exchange(growing_, growing) != growing;
  }
  /// Somebody looks at them. @returns as `look`
  bool looked(std::uint64_t held) {
    seen_ = held;
    return look(held);
  }
  [[nodiscard]] bool is_growing() const noexcept { return growing_; }
  [[nodiscard]] std::uint64_t more() const noexcept { return more_; }

private:
  std::uint64_t most_;
  std::uint64_t seen_ = 0; ///< nobody has looked: all are new
  std::uint64_t more_ = 0;
  bool growing_ = false;
};

} // namespace waybill
