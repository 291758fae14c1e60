// What a measurement costs, as differences between two looks: the node's processor time, memory and
// syncs, this process's own processor time, and what of the machine went to neither.
#pragma once

#include "net/client/client.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace waybill::cli::bench {

/// Processor time of a whole machine since it started, in seconds.
struct machine_times {
  double busy = 0;
  double stolen = 0; ///< by the hypervisor
};
/// @param stat what /proc/stat says. Nothing: it says something else
[[nodiscard]] std::optional<machine_times> parse_machine_times(std::string_view stat,
                                                               double ticks_per_second);

struct reading {
  std::chrono::steady_clock::time_point at{};
  node_stats node;
  double client = 0;           ///< seconds of processor time of this process
  machine_times machine{};     ///< of the one that this process runs on
  bool shares_machine = false; ///< with the node
};
/// The one at the begin of what is measured: the node's memory peak counts from it on. Its time is
/// that after the node was asked. @throws client_error
[[nodiscard]] reading read_before(client& depot);
/// The one at the end. Its time is that before the node is asked. @throws client_error
[[nodiscard]] reading read_after(client& depot);

struct cost {
  double seconds = 0;            ///< of wall-clock time
  double server = 0;             ///< seconds of processor time of the node's process
  double client = 0;             ///< and of this one
  std::optional<double> other{}; ///< of neither; not known where the node is elsewhere
  double stolen = 0;             ///< by the hypervisor
  std::uint64_t memory_peak_bytes = 0;
  std::uint64_t syncs = 0; ///< calls of fdatasync and fsync by the node's store
};
/// @errors `stopping`: the node was started again in between
[[nodiscard]] result<cost> cost_between(const reading& before, const reading& after);
/// The share of the machine (0 to 1) that went to others; not known where the node is elsewhere.
[[nodiscard]] std::optional<double> noise_of(const cost& c, unsigned cores);
/// Beyond it, others have worked so much that a figure says more about them.
constexpr double noise_max = 0.12;

} // namespace waybill::cli::bench
