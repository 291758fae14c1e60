// What a node's process has used and done: one call, and a copy of its answer.
#include "net/client/admin_call.hpp"
#include "net/client/client_impl.hpp"

namespace waybill {

using client_parts::admin_answer;

namespace {

std::chrono::microseconds span_of(std::uint64_t us) {
  return std::chrono::microseconds{static_cast<std::int64_t>(us)};
}

admin_answer<node_stats> read_stats(wire::NodeStatsOutcome::Reader outcome) {
  if (outcome.which() == wire::NodeStatsOutcome::ERROR)
    return client_parts::refusal<node_stats>(outcome.getError());
  if (outcome.which() != wire::NodeStatsOutcome::OK)
    return client_parts::strange<node_stats>();
  const auto from = outcome.getOk();
  node_stats s;
  s.process = from.getProcess();
  s.machine = client_parts::to_text(from.getMachine());
  s.started = client_parts::to_time(from.getStarted());
  s.cpu_user = span_of(from.getCpuUserUs());
  s.cpu_system = span_of(from.getCpuSystemUs());
  s.memory_bytes = from.getMemoryBytes();
  s.memory_peak_bytes = from.getMemoryPeakBytes();
  s.syncs = from.getSyncs();
  return {std::move(s), false};
}

} // namespace

node_stats client::stats(memory_peak peak) {
  return client_parts::call<node_stats>(
      impl_->core, "stats", [peak](wire::Session::Client session, bool) {
        auto request = session.nodeStatsRequest();
        request.setResetMemoryPeak(peak == memory_peak::reset);
        return client_parts::asked<node_stats>(std::move(request), read_stats);
      });
}

} // namespace waybill
