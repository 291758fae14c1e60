#include "actors/node/alarm_log.hpp"

namespace waybill {

static alarm_log_actor::behavior_type
alarm_log(alarm_log_actor::pointer self, const std::function<void(const alarm_report&)>& write) {
  return {
      [write](atom::alarm, const alarm_report& report) {
        write(report);
        return done{};
      },
      [self](atom::stop) { self->quit(); },
  };
}

alarm_log_actor spawn_alarm_log(caf::actor_system& system,
                                std::function<void(const alarm_report&)> write) {
  return system.spawn<caf::detached + caf::hidden>(alarm_log, std::move(write));
}

} // namespace waybill
