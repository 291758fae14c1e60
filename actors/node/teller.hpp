// Tells a listener one thing after the other, and never waits longer than is said: what does not
// fit into the queue, and what the listener does not take in time, is counted and not told.
#pragma once

#include "storage/error.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

namespace waybill {

/// Belongs to one actor, and is used on its thread alone; it stays where it is.
template <class What>
class teller {
public:
  /// None: it was taken.
  using answer = std::function<void(const failure* why_not)>;
  struct ways {
    /// Whether there is a listener at this moment.
    std::function<bool()> is_there;
    /// Asks it; calls back once, later, within a bounded time.
    std::function<void(const What&, answer)> ask;
    /// What it is told last has made a gap: so many were not told since it had caught up.
    std::function<void(std::uint64_t lost, const failure& why)> behind;
    /// All that waited was told again. Comes once after one or more of `behind`.
    std::function<void(std::uint64_t lost)> caught_up;
    /// It has failed: call `next` in a moment. Until then it may have ended, and another one begun.
    std::function<void()> later;
  };

  teller(ways how, std::size_t waiting_max) : ways_{std::move(how)}, most_{waiting_max} {}
  teller(const teller&) = delete;
  teller& operator=(const teller&) = delete;

  void push(What what) {
    if (waiting_.size() >= most_)
      return lose({ec::overloaded, "as many wait for it as there is room for"});
    waiting_.push_back(std::move(what));
    ask();
  }
  /// One more that it is not told, without having been pushed.
  void lose(const failure& why) {
    ++lost_;
    ways_.behind(lost_, why);
  }
  /// Asks the listener that is there now, if something waits.
  void next() {
    resting_ = false;
    ask();
  }
  [[nodiscard]] bool is_idle() const noexcept { return asked_ || waiting_.empty(); }
  /// What was never handed over; the teller is at its end.
  [[nodiscard]] std::deque<What> take_rest() {
    if (asked_)
      waiting_.pop_front();
    asked_ = false;
    return std::exchange(waiting_, {});
  }

private:
  void ask() {
    if (asked_ || resting_ || waiting_.empty() || !ways_.is_there())
      return;
    asked_ = true;
    ways_.ask(waiting_.front(), [this](const failure* why_not) { answered(why_not); });
  }
  void answered(const failure* why_not) {
    asked_ = false;
    waiting_.pop_front();
    resting_ = why_not != nullptr;
    if (why_not) {
      lose(*why_not);
      return ways_.later();
    }
    if (waiting_.empty() && lost_ > 0)
      ways_.caught_up(std::exchange(lost_, 0));
    ask();
  }

  ways ways_;
  std::size_t most_;
  std::deque<What> waiting_; ///< the first was asked, where `asked_`
  bool asked_ = false;
  bool resting_ = false; ///< after a failure
  std::uint64_t lost_ = 0;
};

} // namespace waybill
