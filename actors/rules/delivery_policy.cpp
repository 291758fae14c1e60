// What a group's policy may say: the ranges of the page of limits.
#include "actors/rules/delivery.hpp"

#include "config/limits.hpp"
#include "storage/assert.hpp"

namespace waybill {
namespace {

/// The field must lie in the range of the limit that is its default for new groups.
std::optional<failure> outside(std::string_view field, std::string_view key,
                               const limit_value& value) {
  const auto* const limit = find_limit(key);
  WAYBILL_ASSERT(limit);
  if (limit->in_range(value))
    return std::nullopt;
  return failure{ec::bad_argument, "The policy's " + std::string{field} + " is " +
                                       to_string(value) + "; it must lie between " +
                                       to_string(limit->low) + " and " + to_string(limit->high) +
                                       "."};
}

} // namespace

result<void> delivery::check_policy(const group_policy& p, const delivery_limits& limits) {
  for (const auto& wrong :
       {outside("lease", "delivery.lease", p.lease),
        outside("attempts", "delivery.attempts-max", std::uint64_t{p.attempts_max}),
        outside("delay", "delivery.delay", p.delay), outside("factor", "delivery.factor", p.factor),
        outside("longest delay", "delivery.delay-max", p.delay_max),
        outside("jitter", "delivery.jitter", p.jitter)}) {
    if (wrong)
      return *wrong;
  }
  if (p.lease > limits.lease_max)
    return failure{ec::bad_argument, "The policy's lease is " + to_string(limit_value{p.lease}) +
                                         "; delivery.lease-max allows " +
                                         to_string(limit_value{limits.lease_max}) + "."};
  if (p.delay > p.delay_max)
    return failure{ec::bad_argument, "The policy's delay is " + to_string(limit_value{p.delay}) +
                                         ", longer than its longest delay, " +
                                         to_string(limit_value{p.delay_max}) + "."};
  return {};
}

} // namespace waybill
