// A set of message offsets, kept as ranges: what is settled, what is ready again. Costs grow with
// the number of ranges, not of messages. A plain value.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace waybill {

/// Invariant: the ranges are ascending, disjoint, not adjacent, none empty. Ranges that come in may
/// be empty or turned round: they stand for nothing.
class offset_set {
public:
  offset_set() = default;
  explicit offset_set(const std::vector<offset_range>& ranges);

  /// @returns how many offsets were not in the set before
  std::uint64_t add(offset_range range);
  /// @returns how many offsets were in the set before
  std::uint64_t remove(offset_range range);
  void unite(const offset_set& other);

  [[nodiscard]] bool empty() const noexcept { return ranges_.empty(); }
  [[nodiscard]] bool contains(message_offset offset) const;
  /// How many offsets, and in how many ranges.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t range_count() const noexcept { return ranges_.size(); }
  /// The lowest offset. @pre not empty
  [[nodiscard]] message_offset first() const;
  /// One beyond the highest offset; 0 when empty.
  [[nodiscard]] message_offset end() const noexcept;
  /// Everything below is in the set; the offset itself is not.
  [[nodiscard]] message_offset floor() const;
  /// The lowest offset >= `from` that is not in the set.
  [[nodiscard]] message_offset first_outside(message_offset from) const;
  /// The lowest offset >= `from` that is in the set; none: there is none.
  [[nodiscard]] std::optional<message_offset> first_inside(message_offset from) const;
  [[nodiscard]] std::vector<offset_range> ranges() const;
  /// What of `within` is in the set, ascending.
  [[nodiscard]] std::vector<offset_range> inside(offset_range within) const;
  /// What of `within` is not in the set, ascending.
  [[nodiscard]] std::vector<offset_range> outside(offset_range within) const;
  [[nodiscard]] static offset_set intersection(const offset_set& a, const offset_set& b);

  friend bool operator==(const offset_set& a, const offset_set& b) {
    return a.ranges_ == b.ranges_;
  }

private:
  using numbers = std::map<std::uint64_t, std::uint64_t>; // first -> end
  [[nodiscard]] numbers::const_iterator covering_or_after(std::uint64_t offset) const;
  numbers ranges_;
  std::uint64_t count_ = 0;
};

} // namespace waybill
