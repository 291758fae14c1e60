// Which alarms stand, and the news about them: the same one twice is told once, an event that comes
// again and again becomes an alarm of its own. Pure. Source: docs/design.md, section 3.
#pragma once

#include "actors/rules/alarms.hpp"
#include "actors/rules/delivery.hpp"
#include "actors/rules/restart_watch.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace waybill {

inline constexpr std::size_t alarm_news_max = 1'000;    ///< remembered, for who follows
inline constexpr std::size_t alarms_listed_max = 2'000; ///< in one answer

/// What has come since somebody asked last, and what stands now.
struct alarm_news {
  std::uint64_t last = 0;            ///< number of the last news there is
  std::vector<alarm_report> raised;  ///< all that stand, the longest first
  std::uint64_t unlisted = 0;        ///< that stand beyond `alarms_listed_max`
  std::vector<alarm_report> changes; ///< with higher numbers than was asked for, in order
  std::uint64_t missed = 0;          ///< such that are not remembered any more
};

class alarm_book {
public:
  explicit alarm_book(const supervision_limits& limits) : restarts_{limits} {}

  /// @returns what is to be told; nothing, when it is known
  std::vector<alarm_report> take(alarm_report report, const moment& now);
  /// Time passed. @returns what is to be told
  std::vector<alarm_report> tick(const moment& now);
  /// When `tick` has something to do; none: not before the next report.
  [[nodiscard]] std::optional<milliseconds> next_tick() const { return restarts_.next(); }

  [[nodiscard]] std::uint64_t last() const noexcept { return last_; }
  /// All that stand, by name and subject.
  [[nodiscard]] std::vector<alarm_report> raised() const;
  [[nodiscard]] alarm_news news_after(std::uint64_t number) const;

private:
  void put(alarm_report report, const moment& now, std::vector<alarm_report>& told);

  restart_watch restarts_;
  std::map<std::pair<std::string, std::string>, alarm_report> raised_; ///< by name and subject
  std::deque<alarm_report> changes_;
  std::uint64_t last_ = 0;
};

} // namespace waybill
