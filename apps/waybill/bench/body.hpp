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

/// What is asked for behind the stamp: the same random bytes in each, or of a long text each
/// another part. A body too short for a stamp has what fits of it. Any thread.
class body_maker {
public:
  explicit body_maker(std::size_t size, bodies made_of = bodies::random);
  [[nodiscard]] std::string make(const stamp& s) const;
  /// Nothing when this is no body of this maker's, byte for byte. @pre `size` >= stamp_bytes
  [[nodiscard]] std::optional<stamp> read(std::string_view body) const;

private:
  /// Of the body with this number.
  [[nodiscard]] std::string_view content_of(std::uint64_t number) const;
  std::size_t size_;
  std::string source_; ///< one body of random bytes, or the text that parts are taken of
};

} // namespace waybill::cli::bench
