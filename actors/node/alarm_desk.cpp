#include "actors/node/alarm_desk.hpp"

#include <map>

namespace waybill {

struct alarm_desk_state {
  static inline const char* name = "alarm-desk";

  alarm_sink sink;
  std::map<std::pair<std::string, std::string>, alarm_report> raised; ///< by name and subject

  void take(const alarm_report& report) {
    const std::pair key{report.name, report.subject};
    const bool was_raised = raised.contains(key);
    if (report.raised)
      raised[key] = report;
    else
      raised.erase(key);
    if (report.raised != was_raised)
      sink(report);
  }

  std::vector<alarm_report> list() const {
    std::vector<alarm_report> result;
    for (const auto& [key, report] : raised)
      result.push_back(report);
    return result;
  }
};

static alarm_desk_actor::behavior_type
alarm_desk(alarm_desk_actor::stateful_pointer<alarm_desk_state> self, alarm_sink sink) {
  auto& state = self->state;
  state.sink = std::move(sink);
  return {
      [&state](atom::alarm, const alarm_report& report) { state.take(report); },
      [&state](atom::list) { return state.list(); },
  };
}

alarm_desk_actor spawn_alarm_desk(caf::actor_system& system, alarm_sink sink) {
  return system.spawn(alarm_desk, std::move(sink));
}

} // namespace waybill
