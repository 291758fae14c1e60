// What others were handed, in bytes, counted until nobody holds it any more: a message that was not
// answered in time stays in its receiver's mailbox, where nobody else can take it out.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace waybill {

/// Any thread. What was handed out may outlive this.
class bytes_in_hand {
public:
  explicit bytes_in_hand(std::uint64_t most) : most_{most} {}

  /// The same, counted as so many bytes until the last copy of what is returned is gone. Null:
  /// there is no room for it; while nothing is held there is, whatever it weighs.
  template <class What>
  [[nodiscard]] std::shared_ptr<const What> hold(std::shared_ptr<const What> what,
                                                 std::uint64_t bytes) const {
    if (!take(bytes))
      return nullptr;
    const auto* const there = what.get();
    return {there, [what = std::move(what), held = held_, bytes](const What*) mutable {
              what.reset();
              held->fetch_sub(bytes);
            }};
  }

private:
  [[nodiscard]] bool take(std::uint64_t bytes) const {
    auto held = held_->load();
    do {
      if (held > 0 && bytes > most_ - std::min(most_, held))
        return false;
    } while (!held_->compare_exchange_weak(held, held + bytes));
    return true;
  }

  std::uint64_t most_;
  std::shared_ptr<std::atomic<std::uint64_t>> held_ =
      std::make_shared<std::atomic<std::uint64_t>>(0);
};

} // namespace waybill
