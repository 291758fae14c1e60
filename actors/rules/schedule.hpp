// Messages that something happens to at a time of their own: what waits, what expires. A plain
// value.
#pragma once

#include "storage/types.hpp"

#include <map>
#include <optional>
#include <set>
#include <utility>

namespace waybill {

/// At most one time for each offset.
class schedule {
public:
  /// Replaces a time that the offset had.
  void add(message_offset offset, std::chrono::milliseconds when) {
    remove(offset);
    times_.emplace(offset, when);
    order_.emplace(when, offset);
  }
  /// @returns whether it was there
  bool remove(message_offset offset) {
    const auto found = times_.find(offset);
    if (found == times_.end())
      return false;
    take(found);
    return true;
  }
  void remove(offset_range range) {
    for (auto at = times_.lower_bound(range.first); at != times_.end() && at->first < range.end;)
      take(at++);
  }
  [[nodiscard]] bool contains(message_offset offset) const { return times_.contains(offset); }
  [[nodiscard]] std::size_t size() const noexcept { return times_.size(); }
  [[nodiscard]] std::optional<std::chrono::milliseconds> next() const {
    return order_.empty() ? std::nullopt : std::optional{order_.begin()->first};
  }
  /// The one that is due first, taken out; none: none is due.
  std::optional<message_offset> take_due(std::chrono::milliseconds now) {
    if (order_.empty() || order_.begin()->first > now)
      return std::nullopt;
    const auto offset = order_.begin()->second;
    remove(offset);
    return offset;
  }
  /// Ascending by offset.
  [[nodiscard]] const std::map<message_offset, std::chrono::milliseconds>& times() const noexcept {
    return times_;
  }

private:
  using time_map = std::map<message_offset, std::chrono::milliseconds>;
  void take(time_map::iterator at) {
    order_.erase({at->second, at->first});
    times_.erase(at);
  }
  time_map times_;
  std::set<std::pair<std::chrono::milliseconds, message_offset>> order_;
};

} // namespace waybill
