// Collects alarms and hands them to sinks: the log, for a start. The same alarm twice is told once.
#pragma once

#include "actors/context.hpp"

#include <functional>

namespace waybill {

struct alarm_desk_state;

/// Told of each alarm when it is raised and when it is over.
using alarm_sink = std::function<void(const alarm_report&)>;

alarm_desk_actor::behavior_type
alarm_desk(alarm_desk_actor::stateful_pointer<alarm_desk_state> self, alarm_sink sink);

} // namespace waybill
