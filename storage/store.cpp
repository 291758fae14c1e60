// Writing: group commits, copies, dead letters, checkpoints.
#include "storage/store_impl.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <algorithm>
#include <chrono>

namespace waybill {
namespace {

wall_time now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

} // namespace

store_impl::store_impl(store_options options)
    : options_{std::move(options)}, levels_{options_.env, options_.write_buffer_bytes,
                                            options_.block_cache_bytes},
      open_{options_.open_generations_max}, pages_{options_.tables_bytes_max} {}

store_impl::~store_impl() = default;

void store_impl::log(const std::string& line) const {
  if (options_.log)
    options_.log(line);
}

result<void> store_impl::usable() const {
  if (poisoned_)
    return *poisoned_;
  return {};
}

failure store_impl::poison(failure why) {
  if (why.code == ec::storage_failed && !poisoned_)
    poisoned_ = why;
  return why;
}

result<void> store_impl::poisoned_by(result<void> outcome) {
  if (!outcome)
    return poison(outcome.error());
  return outcome;
}

result<void> store_impl::check_room(std::uint64_t bytes) const {
  // Room for what LevelDB writes besides: the buffers that it is about to turn into tables. An
  // ENOSPC inside LevelDB is for good, so it must not come to that.
  const auto reserve = 3 * options_.write_buffer_bytes + (8u << 20);
  const auto free = disk_free();
  if (!free)
    return free.error();
  if (*free < reserve + 2 * bytes)
    return failure{ec::disk_full, "only " + std::to_string(*free >> 20) +
                                      " MiB are free on the disk of " +
                                      options_.directory.string() + ": make room, then repeat"};
  return {};
}

result<void> store_impl::check_writable(std::span<const entry> entries) const {
  const partition_index* last = nullptr;
  for (const auto& e : entries) {
    if (last && last->id == e.partition)
      continue;
    const auto index = partitions_.find(e.partition);
    if (index == partitions_.end())
      return failure{ec::unknown_partition,
                     "no copy of partition " + name_of(e.partition) + " lives here"};
    if (index->second.damage)
      return *index->second.damage;
    last = &index->second;
  }
  return {};
}

void store_impl::check_chain(std::span<const entry> entries, std::map<partition_id, log_end> ends) {
  for (const auto& e : entries) {
    auto& [last, offset] = ends.at(e.partition);
    WAYBILL_ASSERT(e.index.value == last.index.value + 1);
    WAYBILL_ASSERT(e.previous == last.hash);
    WAYBILL_ASSERT(e.written >= last.written);
    WAYBILL_ASSERT(e.first_offset == offset);
    last = position_of(e);
    offset = offsets_of(e).end;
  }
}

std::uint64_t store_impl::put_entries(generation_batch& batch, std::span<const entry> entries) {
  const auto first = next_sequence_;
  std::string bytes;
  for (const auto& e : entries) {
    bytes.clear();
    encode_entry(e, bytes);
    batch.put(next_sequence_++, bytes);
  }
  return first;
}

void store_impl::index_entries(std::span<const entry> entries, std::uint64_t first_sequence) {
  std::uint64_t bytes = 0;
  std::lock_guard lock{mutex_};
  for (auto sequence = first_sequence; const auto& e : entries) {
    auto& index = partitions_.at(e.partition);
    index.active.append(describe(e, sequence++));
    index.last = position_of(e);
    index.next_offset = offsets_of(e).end;
    index.last_stamp = e.stamped;
    bytes += entry_header_bytes + e.body.size();
  }
  active_bytes_ += bytes;
  active_entries_ += entries.size();
  ++counters_.syncs;
  counters_.entries_written += entries.size();
  counters_.bytes_written += bytes;
}

result<void> store_impl::write_small(const write_set& what) {
  state_batch batch;
  for (const auto& [key, value] : what.records)
    batch.put_record(key, value);
  std::map<partition_id, epoch> promised;
  for (const auto& [id, number] : what.promises) {
    const auto before = promised_.find(id);
    auto& highest = promised.try_emplace(id, before == promised_.end() ? epoch{} : before->second)
                        .first->second;
    WAYBILL_ASSERT(number >= highest);
    highest = number;
    batch.put_promise(id, number);
  }
  if (batch.empty())
    return {}; // the common case: the journal's sync is the only one
  if (auto room = check_room(batch.bytes()); !room)
    return room;
  if (auto written = poisoned_by(state_->commit(batch)); !written)
    return written;
  std::lock_guard lock{mutex_};
  for (const auto& [id, number] : promised)
    promised_[id] = number;
  return {};
}

result<void> store_impl::write(const write_set& what) {
  if (auto fine = usable(); !fine)
    return fine;
  if (auto fine = check_writable(what.entries); !fine)
    return fine;
  std::uint64_t bytes = 0;
  std::map<partition_id, log_end> ends;
  for (const auto& e : what.entries) {
    bytes += entry_header_bytes + e.body.size();
    const auto& index = partitions_.at(e.partition);
    ends.try_emplace(e.partition, log_end{index.last, index.next_offset});
  }
  check_chain(what.entries, std::move(ends));
  if (auto room = check_room(bytes); !room)
    return room;
  // A promise is on the disk before the first entry that rests on it.
  if (auto written = write_small(what); !written || what.entries.empty())
    return written;
  if (auto sealed = poisoned_by(seal_if_full()); !sealed)
    return sealed;
  batch_.clear();
  const auto first = put_entries(batch_, what.entries);
  if (auto written = poisoned_by(active_->write(batch_)); !written)
    return written;
  index_entries(what.entries, first);
  prepare_next();
  return {};
}

result<void> store_impl::begin_copy(partition_id partition, copy_id copy) {
  if (auto fine = usable(); !fine)
    return fine;
  if (partitions_.contains(partition))
    return failure{ec::bad_argument, "a copy of partition " + name_of(partition) +
                                         " lives here already: end it first"};
  state_batch batch;
  batch.put_copy(partition, {copy, next_sequence_, now()});
  if (auto room = check_room(batch.bytes()); !room)
    return room;
  if (auto written = poisoned_by(state_->commit(batch)); !written)
    return written;
  partition_index index;
  index.id = partition;
  index.copy = copy;
  index.first_sequence = next_sequence_;
  std::lock_guard lock{mutex_};
  partitions_.emplace(partition, std::move(index));
  return {};
}

result<void> store_impl::end_copy(partition_id partition) {
  if (auto fine = usable(); !fine)
    return fine;
  const auto found = partitions_.find(partition);
  if (found == partitions_.end())
    return failure{ec::unknown_partition,
                   "no copy of partition " + name_of(partition) + " lives here"};
  state_batch batch;
  batch.end_copy(partition, found->second.copy, next_sequence_, now());
  if (auto written = poisoned_by(state_->commit(batch)); !written)
    return written;
  std::lock_guard lock{mutex_};
  for (const auto& [number, part] : found->second.sealed) {
    auto& generation = sealed_.at(number);
    generation.partitions.erase(partition);
    generation.check = true;
  }
  partitions_.erase(found);
  return {};
}

result<void> store_impl::write_dead_letters(
    std::span<const std::variant<dead_letter_put, dead_letter_removed>> changes) {
  if (auto fine = usable(); !fine)
    return fine;
  const auto copy_of = [this](partition_id partition) -> std::optional<copy_id> {
    const auto index = partitions_.find(partition);
    return index == partitions_.end() ? std::nullopt : std::optional{index->second.copy};
  };
  state_batch batch;
  for (const auto& change : changes) {
    const auto* put = std::get_if<dead_letter_put>(&change);
    const auto* removed = std::get_if<dead_letter_removed>(&change);
    const auto partition = put ? put->partition : removed->partition;
    const auto copy = copy_of(partition);
    if (!copy)
      return failure{ec::unknown_partition,
                     "no copy of partition " + name_of(partition) + " lives here"};
    if (put)
      batch.put_dead_letter(*copy, *put);
    else
      batch.remove_dead_letter(*copy, *removed);
  }
  if (auto room = check_room(batch.bytes()); !room)
    return room;
  return poisoned_by(state_->add_pending(std::move(batch)));
}

result<void>
store_impl::write_checkpoints(std::span<const std::pair<partition_id, checkpoint>> checkpoints) {
  if (auto fine = usable(); !fine)
    return fine;
  state_batch batch;
  for (const auto& [id, value] : checkpoints) {
    const auto index = partitions_.find(id);
    if (index == partitions_.end())
      return failure{ec::unknown_partition, "no copy of partition " + name_of(id) + " lives here"};
    if (index->second.damage)
      return *index->second.damage;
    WAYBILL_ASSERT(value.state.at.index <= index->second.last.index);
    WAYBILL_ASSERT(value.state.at.index < index->second.last.index ||
                   value.state.at == index->second.last);
    WAYBILL_ASSERT(!index->second.checkpointed ||
                   value.state.at.index >= index->second.checkpointed->index);
    batch.put_checkpoint(id, value);
  }
  batch.put_sequence(next_sequence_ - 1); // so that a journal that lost its end is found out
  if (auto room = check_room(batch.bytes()); !room)
    return room;
  if (auto written = poisoned_by(state_->commit_with_pending(batch)); !written)
    return written;
  std::lock_guard lock{mutex_};
  for (const auto& [id, value] : checkpoints) {
    auto& index = partitions_.at(id);
    index.checkpointed = value.state.at;
    index.needed = value.needed;
    for (const auto& [number, part] : index.sealed)
      sealed_.at(number).check = true;
  }
  return {};
}

} // namespace waybill
