// The parts of cost.hpp that look at nothing.
#include "apps/waybill/bench/cost.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <string>

namespace waybill::cli::bench {

namespace {

double in_seconds(std::chrono::microseconds span) {
  return static_cast<double>(span.count()) / 1e6;
}

} // namespace

std::optional<machine_times> parse_machine_times(std::string_view stat, double ticks_per_second) {
  std::istringstream line{std::string{stat.substr(0, stat.find('\n'))}};
  std::string word;
  std::array<double, 8> ticks{}; // user nice system idle iowait irq softirq steal
  if (!(line >> word) || word != "cpu")
    return std::nullopt;
  for (auto& each : ticks)
    if (!(line >> each))
      return std::nullopt;
  const auto busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6];
  return machine_times{busy / ticks_per_second, ticks[7] / ticks_per_second};
}

result<cost> cost_between(const reading& before, const reading& after) {
  if (before.node.started != after.node.started)
    return failure{ec::stopping,
                   "The node was started again during the measurement, so its figures "
                   "say nothing: measure again."};
  cost c;
  c.seconds = std::chrono::duration<double>(after.at - before.at).count();
  c.server = in_seconds(after.node.cpu_user - before.node.cpu_user) +
             in_seconds(after.node.cpu_system - before.node.cpu_system);
  c.client = after.client - before.client;
  if (before.shares_machine)
    c.other = std::max(0.0, after.machine.busy - before.machine.busy - c.server - c.client);
  c.stolen = after.machine.stolen - before.machine.stolen;
  c.memory_peak_bytes = after.node.memory_peak_bytes;
  c.syncs = after.node.syncs - before.node.syncs;
  return c;
}

std::optional<double> noise_of(const cost& c, unsigned cores) {
  if (!c.other || c.seconds <= 0 || cores == 0)
    return std::nullopt;
  return (*c.other + c.stolen) / (c.seconds * cores);
}

} // namespace waybill::cli::bench
