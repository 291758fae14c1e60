// The log as a sink of alarms: on a thread of its own, since writing may block.
#pragma once

#include "actors/messages.hpp"

#include <functional>

namespace waybill {

/// The sink, which ends when it is told to: behind all that it was told before.
using alarm_log_actor = alarm_sink_actor::extend<caf::reacts_to<atom::stop>>;

[[nodiscard]] alarm_log_actor spawn_alarm_log(caf::actor_system& system,
                                              std::function<void(const alarm_report&)> write);

} // namespace waybill
