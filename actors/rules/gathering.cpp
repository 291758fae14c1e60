// Gathering changes into proposals: see the header.
#include "actors/rules/gathering.hpp"

#include <utility>

namespace waybill {
namespace {
// What a change takes in a record, about: storage/format.capnp.
constexpr std::uint64_t range_bytes = 16;
constexpr std::uint64_t started_bytes = 16;
constexpr std::uint64_t failed_bytes = 64;
constexpr std::uint64_t dead_bytes = 96;
} // namespace

proposal_number gathering::last() const {
  return proposal_number{first_.value + records_.size() - 1};
}

gathering::changes& gathering::room_for(std::string_view group, std::uint64_t bytes) {
  if (records_.empty() ||
      (records_.back().bytes > 0 && records_.back().bytes + bytes > proposal_bytes_max))
    records_.emplace_back();
  auto& into = records_.back();
  into.bytes += bytes;
  auto found = into.groups.find(group);
  if (found == into.groups.end())
    found = into.groups.emplace(std::string{group}, changes{}).first;
  return found->second;
}

proposal_number gathering::ack(std::string_view group, offset_range range) {
  room_for(group, range_bytes).acked.add(range);
  return last();
}

proposal_number gathering::start(std::string_view group, const attempt_started& what) {
  room_for(group, started_bytes).started.push_back(what);
  return last();
}

proposal_number gathering::fail(std::string_view group, attempt_failed what) {
  const auto bytes = failed_bytes + what.reason.size() + what.consumer.size();
  room_for(group, bytes).failed.push_back(std::move(what));
  return last();
}

proposal_number gathering::bury(std::string_view group, dead_letter what,
                                std::uint64_t message_bytes) {
  const auto bytes = dead_bytes + what.reason.size() + what.consumer.size() + message_bytes;
  room_for(group, bytes).dead.push_back(std::move(what));
  return last();
}

void gathering::forget(std::string_view group) {
  for (auto& each : records_) {
    const auto found = each.groups.find(group);
    if (found != each.groups.end())
      each.groups.erase(found);
  }
}

void gathering::forget_below(std::string_view group, message_offset target) {
  for (auto& each : records_) {
    if (const auto found = each.groups.find(group); found != each.groups.end())
      waybill::forget_below(found->second, target);
  }
}

std::optional<proposal> gathering::next() {
  if (records_.empty())
    return std::nullopt;
  proposal out{.number = first_, .record = {}};
  for (auto& [group, what] : records_.front().groups) {
    out.record.groups.push_back({.group = group,
                                 .acked = what.acked.ranges(),
                                 .started = std::move(what.started),
                                 .failed = std::move(what.failed),
                                 .dead = std::move(what.dead)});
  }
  records_.pop_front();
  ++first_.value;
  return out;
}

} // namespace waybill
