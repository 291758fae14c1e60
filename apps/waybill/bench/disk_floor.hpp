// The floor of a disk: what appending and syncing alone costs, without a broker. No broker that
// syncs before it confirms can be faster.
#pragma once

#include "apps/waybill/json.hpp"
#include "storage/error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace waybill::cli::bench {

struct disk_floor {
  std::size_t bytes = 0;           ///< of one write
  double per_second = 0;           ///< write + fdatasync, one after the other
  double megabytes_per_second = 0; ///< 10^6 bytes
  std::chrono::nanoseconds median{0};
};

/// Appends to a file of its own in `directory`, which is removed afterwards; takes about `span` for
/// each size.
[[nodiscard]] result<std::vector<disk_floor>> measure_floor(const std::string& directory,
                                                            const std::vector<std::size_t>& sizes,
                                                            std::chrono::milliseconds span);
/// Of two measurements of the same sizes, as long as each other: before and after something else.
[[nodiscard]] std::vector<disk_floor> mean_of(const std::vector<disk_floor>& one,
                                              const std::vector<disk_floor>& other);
/// How much of the floor's speed was reached; nothing when it was passed, for then the floor was
/// measured badly.
[[nodiscard]] std::optional<double> share_of_floor(double speed, double floor);
[[nodiscard]] std::string floor_text(const std::vector<disk_floor>& floors);
[[nodiscard]] json floor_json(const std::vector<disk_floor>& floors);

} // namespace waybill::cli::bench
