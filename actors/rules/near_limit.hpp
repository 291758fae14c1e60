// Whether something that fills is near its limit: people are told before it bites, once, and not
// again and again while it wavers. Pure. Source: docs/design.md, section 5 ("No silent limit").
#pragma once

#include <cstdint>

namespace waybill {

/// Near beyond four fifths of the limit, until it is below seven tenths again. For what must not
/// fall (free space) the same the other way round: near below five quarters of the least, until it
/// is above ten sevenths of it.
class near_limit {
public:
  enum class bites : std::uint8_t { above, below };

  /// @pre `limit` is below 2^60
  constexpr explicit near_limit(std::uint64_t limit, bites where = bites::above)
      : limit_{limit}, tight_{where == bites::above ? limit * 4 / 5 : (limit * 5 + 3) / 4},
        roomy_{where == bites::above ? (limit * 7 + 9) / 10 : limit * 10 / 7}, where_{where} {}

  /// Whether this value is so near that people are to be told. At the limit it always is.
  [[nodiscard]] constexpr bool is_tight(std::uint64_t value) const noexcept {
    return where_ == bites::above ? value > tight_ : value < tight_;
  }
  /// Whether this value is so far off that it is over.
  [[nodiscard]] constexpr bool is_roomy(std::uint64_t value) const noexcept {
    return where_ == bites::above ? value < roomy_ : value > roomy_;
  }
  /// @returns whether what `is_near` says has changed
  constexpr bool look(std::uint64_t value) noexcept {
    if (near_ ? !is_roomy(value) : !is_tight(value))
      return false;
    near_ = !near_;
    return true;
  }
  [[nodiscard]] constexpr bool is_near() const noexcept { return near_; }
  [[nodiscard]] constexpr std::uint64_t limit() const noexcept { return limit_; }

private:
  std::uint64_t limit_, tight_, roomy_;
  bites where_;
  bool near_ = false;
};

} // namespace waybill
