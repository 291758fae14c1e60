#include "actors/partition/leader_log.hpp"

#include <algorithm>

namespace waybill {

leader_log::leader_log(partition_id partition, epoch leading, const recovered_partition& found)
    : partition_{partition}, leading_{leading}, last_{found.last}, next_offset_{found.next_offset},
      last_stamp_{found.last_stamp} {}

const entry& leader_log::append(entry_kind kind, std::uint32_t messages, shared_bytes body,
                                wall_time now) {
  entry e;
  e.partition = partition_;
  e.index = log_index{last_.index.value + 1};
  e.written = leading_;
  e.kind = kind;
  e.first_offset = next_offset_;
  e.message_count = messages;
  e.stamped = last_stamp_ = std::max(last_stamp_, now);
  e.previous = last_.hash;
  e.body = std::move(body);
  e.hash = chain_hash(e);
  last_ = position_of(e);
  next_offset_ = offsets_of(e).end;
  uncommitted_.push_back(std::move(e));
  return uncommitted_.back();
}

std::optional<entry> leader_log::take(log_index committed) {
  if (uncommitted_.empty() || uncommitted_.front().index > committed)
    return std::nullopt;
  auto first = std::move(uncommitted_.front());
  uncommitted_.pop_front();
  return first;
}

} // namespace waybill
