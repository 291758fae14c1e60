// Following every partition's chain from its first entry to its last, and holding checkpoints
// against it.
#include "storage/recovery.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <algorithm>

namespace waybill {

bool entry_continues(std::string_view bytes, partition_id partition, const log_position& last) {
  // What the entry must have begun with is encoded and compared as bytes, so that the layout stays
  // in one file.
  if (bytes.size() < entry_header_bytes)
    return false;
  entry expected;
  expected.partition = partition;
  expected.index = log_index{last.index.value + 1};
  expected.previous = last.hash;
  expected.hash = chain_hash(expected);
  std::string encoded;
  encode_entry(expected, encoded);
  const auto same = [&](std::size_t at, std::size_t size) {
    return bytes.substr(at, size) == std::string_view{encoded}.substr(at, size);
  };
  return same(8, 16) && same(48, 4) && same(56, 16); // topic and index, number, previous
}

void recovery::add_runs(partition_id partition, std::span<const table_entry> entries) {
  auto& runs = runs_[partition];
  const auto follows = [](const chain_run& run, const table_entry& e) {
    return run.entries.last.value + 1 == e.index.value && run.after == e.previous;
  };
  for (const auto& e : entries) {
    if (!runs.empty() && follows(runs.back(), e)) {
      runs.back().entries.last = e.index;
      runs.back().after = e.hash;
    } else {
      runs.push_back({{e.index, e.index}, e.previous, e.hash});
    }
  }
}

log_index recovery::follow_chain(partition_index& index) {
  auto& runs = runs_[index.id];
  std::ranges::sort(runs, {}, [](const chain_run& r) { return r.entries; });
  log_index covered;
  hash128 hash;
  for (const auto& run : runs) {
    if (run.entries.last <= covered)
      continue; // equal copies of what was seen: left by a crash while a generation was emptied
    if (run.entries.first.value > covered.value + 1) {
      damage(index, hole_at(index.id, log_index{covered.value + 1}));
      return covered;
    }
    if (run.entries.first.value == covered.value + 1 && run.before != hash) {
      damage(index,
             {ec::damaged, "the chain of partition " + name_of(index.id) + " breaks at entry " +
                               std::to_string(run.entries.first.value) +
                               ": it does not follow the one before"});
      return covered;
    }
    covered = run.entries.last;
    hash = run.after;
  }
  return covered;
}

result<std::optional<located>> recovery::locate(const partition_index& index, log_index at) const {
  page_view pages{store_.pages_};
  for (;;) {
    pages.begin();
    auto found = index.at_or_after(at, store_.active_, pages);
    if (!pages.misses()) {
      if (found && found->what.index != at)
        found.reset();
      return found;
    }
    if (auto loaded = pages.load_missing(); !loaded)
      return loaded.error();
  }
}

result<void> recovery::finish_partitions() {
  for (auto& [id, index] : store_.partitions_) {
    auto finished = finish_partition(index);
    if (!finished && finished.error().code != ec::damaged)
      return finished;
    if (!finished)
      damage(index, finished.error());
    recovered_partition found;
    found.id = id;
    found.copy = index.copy;
    if (const auto promised = store_.promised_.find(id); promised != store_.promised_.end())
      found.promised = promised->second;
    if (const auto stored = state_.checkpoints.find(id);
        stored != state_.checkpoints.end() && stored->second)
      found.checkpointed = std::move(stored->second->state);
    found.last = index.last;
    found.next_offset = index.next_offset;
    found.last_stamp = index.last_stamp;
    found.damage = index.damage;
    store_.recovered_.emplace(id, std::move(found));
  }
  return {};
}

result<void> recovery::finish_partition(partition_index& index) {
  const auto last = follow_chain(index);
  const auto stored = state_.checkpoints.find(index.id);
  if (stored != state_.checkpoints.end() && !stored->second)
    return stored->second.error();
  const auto* newest = stored == state_.checkpoints.end() ? nullptr : &*stored->second;
  if (newest) {
    index.checkpointed = newest->state.at;
    index.needed = newest->needed;
  }
  if (auto found = find_end(index, last); !found)
    return found;
  if (!newest && !index.dropped.ranges.empty())
    return failure{ec::damaged, "the checkpoint of partition " + name_of(index.id) +
                                    " is missing, though entries were dropped on its word"};
  if (!newest || index.damage)
    return {};
  const auto& at = newest->state.at;
  if (at.index > last)
    return failure{ec::damaged, "the log of partition " + name_of(index.id) + " ends at entry " +
                                    std::to_string(last.value) + ", but its checkpoint stands at " +
                                    std::to_string(at.index.value) + ": its end is lost"};
  const auto there = locate(index, at.index);
  if (!there)
    return there.error();
  const auto* gone = index.dropped_at(at.index);
  const bool differs = *there
                           ? (*there)->what.hash != at.hash || (*there)->what.written != at.written
                           : gone && gone->entries.last == at.index && gone->after != at.hash;
  if (differs)
    return failure{ec::damaged, "the checkpoint of partition " + name_of(index.id) +
                                    " is of another log: its entry " +
                                    std::to_string(at.index.value) + " has another hash"};
  return {};
}

result<void> recovery::find_end(partition_index& index, log_index last) {
  if (last.value == 0)
    return {};
  const auto found = locate(index, last);
  if (!found)
    return found.error();
  if (!*found) { // dropped, so a checkpoint stands there
    const auto stored = state_.checkpoints.find(index.id);
    if (stored == state_.checkpoints.end() || !stored->second ||
        stored->second->state.at.index != last)
      return failure{ec::damaged, "the log of partition " + name_of(index.id) +
                                      " ends in a dropped range, but no checkpoint stands there"};
    const auto& state = stored->second->state;
    index.last = state.at;
    index.next_offset = state.next_offset;
    index.last_stamp = state.last_stamp;
    return {};
  }
  const auto& e = (*found)->what;
  index.last = {e.index, e.written, e.hash};
  index.next_offset = end_offset(e);
  if ((*found)->where == store_.active_) {
    index.last_stamp = stamps_[index.id];
    return {};
  }
  const auto content = store_.fetch(index.id, **found);
  if (!content)
    return content.error();
  index.last_stamp = content->stamped;
  return {};
}

} // namespace waybill
