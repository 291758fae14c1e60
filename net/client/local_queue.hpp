// What a consumer has been given and nobody has taken yet: in the order of arrival, and found by
// message, for what is settled must not be handed out again. Not for several threads at once.
#pragma once

#include "net/client/client.hpp"

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <utility>
#include <vector>

namespace waybill::client_parts {

struct queued_message {
  message content;
  std::size_t bytes = 0;
  std::chrono::steady_clock::time_point renewed_at{}; ///< its lease runs from here
};

class local_queue {
public:
  [[nodiscard]] bool empty() const { return order_.empty(); }
  [[nodiscard]] std::size_t size() const { return order_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; } ///< of all that is here, together

  /// At the end. A message that is here already came with a lease that is over: that one goes.
  void push(queued_message what);
  /// The first to come. @pre not empty
  [[nodiscard]] queued_message pop();
  void forget(std::uint32_t partition, message_offset offset);
  void forget(std::uint32_t partition); ///< all that is here of it
  void clear();

  /// Calls `keep(queued_message&)` for each message in the ranges, and forgets those of which it
  /// says false.
  template <class Keep>
  void filter(std::uint32_t partition, const std::vector<offset_range>& ranges, Keep keep) {
    for (const auto& range : ranges) {
      auto at = by_place_.lower_bound({partition, range.first});
      while (at != by_place_.end() && at->first < place{partition, range.end})
        at = keep(*at->second) ? std::next(at) : erase(at);
    }
  }
  /// As `filter`, for everything, in the order of arrival.
  template <class Keep>
  void filter(Keep keep) {
    for (auto at = order_.begin(); at != order_.end();) {
      const auto each = at++;
      if (!keep(*each))
        erase(by_place_.find(place_of(*each)));
    }
  }

private:
  using place = std::pair<std::uint32_t, message_offset>; ///< partition, offset
  using arrivals = std::list<queued_message>;
  using places = std::map<place, arrivals::iterator>;
  [[nodiscard]] static place place_of(const queued_message& of) {
    return {of.content.partition(), of.content.offset()};
  }
  places::iterator erase(places::iterator which);

  arrivals order_;
  places by_place_;
  std::size_t bytes_ = 0;
};

} // namespace waybill::client_parts
