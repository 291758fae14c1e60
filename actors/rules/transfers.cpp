// See transfers.hpp.
#include "actors/rules/transfers.hpp"

#include <algorithm>

namespace waybill {
namespace {

constexpr std::string_view producer_prefix = "waybill.redrive.";

std::string hex(std::uint64_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(16, '0');
  for (auto at = text.rbegin(); at != text.rend(); ++at, value >>= 4)
    *at = digits[value & 15];
  return text;
}

} // namespace

std::string transfer_producer(const partition_id& source) {
  return std::string{producer_prefix} + hex(source.topic.value) + "." +
         std::to_string(source.number);
}

std::string target_name(const transfer_state& t) {
  return t.topic + "/" + std::to_string(t.target.number);
}

bool is_transfer_producer(std::string_view name) { return name.starts_with(producer_prefix); }

std::uint32_t transfer_partition(std::string_view key, std::uint32_t source,
                                 std::uint32_t partitions) {
  return key.empty() ? source % partitions : partition_of_key(key, partitions);
}

transfer_verdict judge_transfer(ec answer, arrival known) {
  switch (answer) {
  case ec::none:
    return {transfer_step::done, known};
  // Said before anything is appended: this send has changed nothing.
  case ec::overloaded:
  case ec::disk_full:
  case ec::partition_offline:
  case ec::damaged: // out of service: a person has to act, and may
    return {transfer_step::repeat, known};
  // Said also of what is appended and perhaps on the disk.
  case ec::not_leader:
  case ec::stopping:
  case ec::storage_failed:
  case ec::timed_out:
  case ec::unreachable:
    return {transfer_step::repeat, arrival::possible};
  case ec::unknown_topic:
    return {transfer_step::abandon, known};
  default:
    return {known == arrival::impossible ? transfer_step::abandon : transfer_step::doubt, known};
  }
}

bool is_on_its_way(const std::map<log_index, transfer_state>& transfers,
                   const partition_id& target) {
  return std::ranges::any_of(transfers, [&target](const auto& each) {
    return each.second.target == target && !each.second.doubt;
  });
}

} // namespace waybill
