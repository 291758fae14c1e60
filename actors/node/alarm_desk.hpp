// Collects alarms, and hands them to sinks: the log is the first. The same alarm twice is told
// once. A sink that is slow or fails holds up nobody: it has a queue of its own.
#pragma once

#include "actors/context.hpp"
#include "actors/rules/alarm_book.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace waybill {

/// One listener to alarms. Its handle is looked up each time, for who is restarted has a new one.
struct alarm_sink {
  std::string name;
  std::function<alarm_sink_actor()> find; ///< any thread; an empty handle: not at this moment
  std::uint64_t waiting_max = 0;          ///< alarms that wait for it
};

struct alarm_desk_args {
  /// What stands; it outlives a desk that fails, and belongs to one desk at a time.
  std::shared_ptr<alarm_book> book;
  /// A sink that does not take an alarm within `patience` is not told of it.
  milliseconds patience{};
  std::vector<alarm_sink> sinks;
};

[[nodiscard]] alarm_desk_actor spawn_alarm_desk(caf::actor_system& system, alarm_desk_args args);

} // namespace waybill
