// See arrivals.hpp.
#include "apps/waybill/bench/arrivals.hpp"

namespace waybill::cli::bench {

std::uint64_t arrivals::missing(std::uint64_t sent,
                                const std::vector<std::uint64_t>& unconfirmed) const {
  std::uint64_t absent = 0;
  for (std::uint64_t number = 0; number < sent; ++number)
    absent += has(number) ? 0 : 1;
  for (const auto number : unconfirmed)
    absent -= has(number) ? 0 : 1;
  return absent;
}

} // namespace waybill::cli::bench
