// One measurement as it is told: a row with the fields that the rows of tests/peers have, and some
// of our own; and the same for people.
#pragma once

#include "apps/waybill/bench/cost.hpp"
#include "apps/waybill/bench/disk_floor.hpp"
#include "apps/waybill/bench/histogram.hpp"
#include "apps/waybill/bench/plan.hpp"
#include "apps/waybill/json.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace waybill::cli::bench {

struct deliveries {
  std::uint64_t duplicates = 0;
  std::uint64_t missing = 0;   ///< confirmed, and never delivered
  std::uint64_t late_acks = 0; ///< when the lease was somebody else's
  double publish_seconds = 0;  ///< until the last confirm
};

struct row {
  plan what;
  std::uint64_t messages = 0; ///< confirmed; with a consumer: delivered and acknowledged
  std::uint64_t failed = 0;   ///< not confirmed
  histogram latency;          ///< to the confirm; with a consumer: to the delivery
  cost spent;
  std::optional<deliveries> delivered{}; ///< with a consumer
  std::vector<disk_floor> floors;        ///< of 1, 64 and 256 KiB
  double load = 0;                       ///< of the machine in the minute before
  unsigned cores = 1;
};

/// @param version of the node and this program, which are one release
[[nodiscard]] json row_json(const row& r, const std::string& version);
[[nodiscard]] std::string row_text(const row& r);
/// What makes the figures doubtful, a sentence each.
[[nodiscard]] std::vector<std::string> doubts(const row& r);

} // namespace waybill::cli::bench
