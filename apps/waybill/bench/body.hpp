// The bodies of a measurement: no two alike, and each tells which one it is and when it was sent.
#pragma once

#include "apps/waybill/bench/plan.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::cli::bench {

using clock = std::chrono::steady_clock;

struct stamp {
  std::uint64_t number = 0; ///< from 0 on
  clock::time_point sent{};
};

/// Random bytes behind the stamp, which no layer below can make smaller. A body too short for a
/// stamp has what fits of it. One thread makes bodies; any may read them meanwhile.
class body_maker {
public:
  explicit body_maker(std::size_t size);
  [[nodiscard]] std::string make(const stamp& s) const;
  /// Nothing when this is no body of this maker's, byte for byte. @pre `size` >= stamp_bytes
  [[nodiscard]] std::optional<stamp> read(std::string_view body) const;

private:
  std::string bytes_;
};

} // namespace waybill::cli::bench
