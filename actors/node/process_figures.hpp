// What this process has used, as the system counts it. Source: proc(5), getrusage(2).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace waybill {

struct process_figures {
  std::uint64_t process = 0; ///< the system's id of the process
  std::string machine;       ///< the system's random id of this boot; empty where it has none
  std::chrono::microseconds cpu_user{0}, cpu_system{0}; ///< of all threads, since the start
  std::uint64_t memory_bytes = 0;                       ///< resident; 0: not known
  std::uint64_t memory_peak_bytes = 0; ///< the most since the start or the last reset
};

/// Any thread; reads a few small files of the system.
[[nodiscard]] process_figures read_process_figures();
/// From now on the peak counts anew. Where the system does not allow it, nothing changes.
void reset_memory_peak();

} // namespace waybill
