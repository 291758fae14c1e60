// Taking one measurement: the disk's floor, topics of its own, the load, and what all of it cost.
#pragma once

#include "apps/waybill/bench/plan.hpp"
#include "apps/waybill/bench/row.hpp"
#include "apps/waybill/command.hpp"

#include <string>

namespace waybill::cli::bench {

struct measured {
  row figures;
  /// Why the run is not whole, a sentence each; none: every message was confirmed, and delivered
  /// where there is a consumer.
  std::vector<std::string> faults;
};

/// Takes a few seconds longer than the plan's span. After a stop signal: the figures so far.
/// @param floor_dir where to measure the disk @throws client_error
[[nodiscard]] measured measure(context& c, const plan& p, const std::string& floor_dir);

} // namespace waybill::cli::bench
