// Whether one part of a node is started again so often that people are to be told. Pure.
#pragma once

#include "config/limits.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace waybill {

class restart_watch {
public:
  explicit restart_watch(const supervision_limits& limits) : limits_{limits} {}

  /// `subject` was started again. @returns how often within `restarts_within`, when that has just
  /// become more than `restarts_alarm`; 0 otherwise
  [[nodiscard]] std::size_t restarted(const std::string& subject, milliseconds now) {
    auto& each = subjects_[subject];
    forget(each, now);
    each.times.push_back(now);
    if (each.often || each.times.size() <= limits_.restarts_alarm)
      return 0;
    each.often = true;
    return each.times.size();
  }

  /// Time passed. @returns of which that is over
  [[nodiscard]] std::vector<std::string> over(milliseconds now) {
    std::vector<std::string> result;
    for (auto each = subjects_.begin(); each != subjects_.end();) {
      forget(each->second, now);
      if (!each->second.times.empty()) {
        ++each;
        continue;
      }
      if (each->second.often)
        result.push_back(each->first);
      each = subjects_.erase(each);
    }
    return result;
  }

  /// When `over` has something to do; none: not before the next restart.
  [[nodiscard]] std::optional<milliseconds> next() const {
    std::optional<milliseconds> first;
    for (const auto& [subject, each] : subjects_) {
      const auto due = each.times.back() + limits_.restarts_within + milliseconds{1};
      if (!first || due < *first)
        first = due;
    }
    return first;
  }

private:
  struct history {
    std::deque<milliseconds> times; ///< within the span
    bool often = false;
  };
  void forget(history& of, milliseconds now) const {
    while (!of.times.empty() && of.times.front() + limits_.restarts_within < now)
      of.times.pop_front();
  }

  supervision_limits limits_;
  std::map<std::string, history> subjects_;
};

} // namespace waybill
