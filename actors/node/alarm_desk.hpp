// Collects alarms and hands them to sinks: the log, for a start. The same alarm twice is told once.
#pragma once

#include "actors/context.hpp"

#include <functional>

namespace waybill {

/// Told of each alarm when it is raised and when it is over.
using alarm_sink = std::function<void(const alarm_report&)>;

[[nodiscard]] alarm_desk_actor spawn_alarm_desk(caf::actor_system& system, alarm_sink sink);

} // namespace waybill
