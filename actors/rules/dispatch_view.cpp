// What a group has out, for people and for the books. See dispatch.hpp.
#include "actors/rules/dispatch.hpp"

namespace waybill {
std::uint64_t dispatch::out_count() const {
  return held_ + settling_.count() + starting_.size() + reserved_.size();
}

std::vector<offset_range> dispatch::out_ranges() const {
  offset_set all = settling_;
  for (const auto& [who, c] : consumers_) {
    for (const auto& [end, run] : c.leases)
      all.add({run.first, end});
  }
  for (const auto& [offset, who] : starting_)
    all.add(just(offset));
  for (const auto& [offset, who] : reserved_)
    all.add(just(offset));
  return all.ranges();
}

std::vector<offset_range> dispatch::delayed_ranges() const {
  offset_set all;
  for (const auto& [offset, due] : delayed_.times())
    all.add(just(offset));
  return all.ranges();
}

} // namespace waybill
