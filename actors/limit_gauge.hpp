// Alarms that stand while something is so: raised and taken back by whoever sees it, and gone with
// them. And the gauge that raises `limit-near` while something of the node is near a limit.
#pragma once

#include "actors/context.hpp"
#include "actors/rules/near_limit.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace waybill {

/// Where alarms go: the desk, as an actor or a thread of another kind reaches it.
using alarm_way = std::function<void(alarm_report)>;
/// @pre what the answer is given to ends before `self`
[[nodiscard]] alarm_way alarms_of(caf::local_actor& self);

/// `limit-near` of a limit that stands on the page of limits. `whose`: `orders#3, group billing`;
/// empty: the node's.
[[nodiscard]] alarm_report near_alarm(std::string_view key, const std::string& whose,
                                      std::uint64_t limit, std::uint64_t value);

/// One alarm. Whoever ends while it is raised does not see its cause any more: it is over then, and
/// who follows raises it anew.
class standing_alarm {
public:
  standing_alarm(alarm_way to, std::string name, std::string subject, alarm_level level)
      : to_{std::move(to)}, report_{std::move(name), std::move(subject), level, {}, false} {}
  ~standing_alarm();
  standing_alarm(const standing_alarm&) = delete;
  standing_alarm& operator=(const standing_alarm&) = delete;

  [[nodiscard]] bool is_raised() const noexcept { return report_.raised; }
  [[nodiscard]] const std::string& subject() const noexcept { return report_.subject; }
  /// A sentence for people each.
  void raise(std::string why);
  void take_back(std::string why);

private:
  alarm_way to_;
  alarm_report report_;
};

/// `limit-near` for one thing that fills. One thread at a time.
class limit_gauge {
public:
  limit_gauge(alarm_way to, std::string_view key, const std::string& whose, near_limit limit);

  /// As it is now; raises the alarm, or takes it back.
  void look(std::uint64_t value) {
    if (limit_.look(value))
      tell(value);
  }
  /// Where it can only have grown, and often does: takes nothing back, so that the alarm does not
  /// come and go with every round.
  void rose(std::uint64_t value) {
    if (!limit_.is_near())
      look(value);
  }

private:
  void tell(std::uint64_t value);

  std::string_view key_;
  std::string whose_;
  near_limit limit_;
  standing_alarm alarm_;
};

} // namespace waybill
