// Opening: directory, small store, generations.
#include "storage/recovery.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <leveldb/env.h>
#include <leveldb/status.h>

#include <algorithm>
#include <cstring>

namespace waybill {
namespace {

constexpr const char* what_to_do = ": restore the data directory from a copy";

} // namespace

result<std::unique_ptr<store>> store::open(store_options options) {
  auto opened = std::make_unique<store_impl>(std::move(options));
  if (auto recovered = recovery{*opened}.run(); !recovered)
    return recovered.error();
  return std::unique_ptr<store>{std::move(opened)};
}

result<void> recovery::run() {
  auto directory = data_directory::open(store_.levels_, store_.options_.directory.string());
  if (!directory)
    return directory.error();
  store_.directory_ = std::move(*directory);
  if (auto done = open_state(); !done)
    return done;
  if (auto done = finish_destructions(); !done)
    return done;
  if (auto done = remove_unrecorded(); !done)
    return done;
  begin_partitions();
  if (auto done = load_generations(); !done)
    return done;
  if (auto done = check_end(); !done)
    return done;
  if (auto done = finish_partitions(); !done)
    return done;
  return begin_active();
}

result<void> recovery::open_state() {
  auto& directory = *store_.directory_;
  const bool begun = directory.has_format();
  const auto names = store_.levels_.children(directory.journal());
  if (!names)
    return names.error();
  const bool has_journal = std::ranges::any_of(
      *names, [](const std::string& name) { return generation_number(name).has_value(); });
  if (!begun && has_journal)
    return failure{ec::damaged, "the data directory " + store_.options_.directory.string() +
                                    " has a journal but no FORMAT file" + what_to_do};
  auto opened =
      state_db::open(store_.levels_, directory.state(),
                     begun ? state_presence::required : state_presence::created_if_missing);
  if (!opened)
    return opened.error();
  store_.state_ = std::move(*opened);
  auto loaded = store_.state_->load();
  if (!loaded)
    return loaded.error();
  state_ = std::move(*loaded);
  if (begun)
    return {};
  if (!state_.copies.empty() || !state_.generations.empty() || !state_.promised.empty())
    return failure{ec::damaged, "the data directory " + store_.options_.directory.string() +
                                    " is in use but has no FORMAT file" + what_to_do};
  return directory.write_format();
}

/// A record of a destroyed generation goes at the first start that finds no trace of it: opening
/// the small store has synced all names by then, so that no power cut brings files back that nobody
/// knows.
result<void> recovery::finish_destructions() {
  state_batch done;
  for (auto each = state_.generations.begin(); each != state_.generations.end();) {
    const auto& [number, record] = *each;
    newest_ = std::max(newest_, number);
    if (record.state != generation_state::gone) {
      ++each;
      continue;
    }
    saw(record.end_sequence - 1);
    const auto path = generation_path(store_.directory_->journal(), number);
    const auto left = store_.levels_.children(path);
    if (!left)
      return left.error();
    if (left->empty()) {
      done.remove_generation(number);
    } else if (auto destroyed = destroy_generation(store_.levels_, path); !destroyed) {
      return destroyed;
    } else {
      store_.log("finished removing " + path + ", in which nothing lived");
    }
    each = state_.generations.erase(each);
  }
  if (done.empty())
    return {};
  if (auto synced = store_.levels_.sync_directory(store_.directory_->journal()); !synced)
    return synced;
  return store_.state_->commit(done);
}

result<void> recovery::remove_unrecorded() {
  const auto names = store_.levels_.children(store_.directory_->journal());
  if (!names)
    return names.error();
  for (const auto& name : *names) {
    const auto number = generation_number(name);
    if (!number || state_.generations.contains(*number))
      continue;
    const auto path = store_.directory_->journal() + "/" + name;
    if (auto removed = remove_prepared(path, *number); !removed)
      return removed;
  }
  return {};
}

/// A generation that was opened ahead of its time is not recorded, and holds nothing. One that
/// holds something was recorded, so the small store is older than the journal.
result<void> recovery::remove_prepared(const std::string& path, std::uint64_t number) {
  auto& levels = store_.levels_;
  bool holds_something = false;
  const auto files = levels.children(path);
  if (!files)
    return files.error();
  for (const auto& file : *files) {
    std::uint64_t size = 0;
    const bool data = file.ends_with(".log") || file.ends_with(".ldb") || file.ends_with(".sst");
    if (data && levels.env()->GetFileSize(path + "/" + file, &size).ok() && size > 0)
      holds_something = true;
  }
  if (holds_something)
    return failure{ec::damaged, "generation " + std::to_string(number) + " of the journal (" +
                                    path +
                                    ") holds entries, but the small store does not know it: one of "
                                    "the two is not of this time" +
                                    what_to_do};
  return destroy_generation(levels, path);
}

void recovery::begin_partitions() {
  auto& partitions = store_.partitions_;
  for (const auto& [id, copy] : state_.copies) {
    auto& index = partitions[id];
    index.id = id;
    if (copy) {
      index.copy = copy->copy;
      index.first_sequence = copy->first_sequence;
    } else {
      damage(index, copy.error());
    }
  }
  for (const auto& [id, promised] : state_.promised) {
    if (promised)
      store_.promised_[id] = *promised;
    else if (partitions.contains(id))
      damage(partitions.at(id), promised.error());
  }
  for (auto& [id, books] : state_.dropped) {
    auto& index = partition_of(id);
    if (!books) {
      damage(index, books.error());
      continue;
    }
    index.dropped = std::move(*books);
    for (const auto& range : index.dropped.ranges)
      runs_[id].push_back({range.entries, range.before, range.after});
  }
}

partition_index& recovery::partition_of(partition_id id) {
  const auto [found, unheard_of] = store_.partitions_.try_emplace(id);
  auto& index = found->second;
  if (unheard_of) {
    index.id = id;
    damage(index, {ec::damaged, "partition " + name_of(id) +
                                    " has entries here, but no copy of it was begun or ended: the "
                                    "small store has lost its record"});
  }
  return index;
}

std::uint64_t recovery::first_sequence_of(partition_id id) const {
  const auto copy = state_.copies.find(id);
  if (copy != state_.copies.end())
    return copy->second ? copy->second->first_sequence : 0;
  const auto ended = state_.ended.find(id);
  return ended == state_.ended.end() ? 0 : ended->second;
}

void recovery::damage(partition_index& index, failure why) {
  if (index.damage)
    return; // the first is the one that people need
  index.damage = std::move(why);
  store_.log("partition " + name_of(index.id) + " does not serve: " + index.damage->detail);
}

result<void> recovery::load_generations() {
  for (const auto& [number, record] : state_.generations) {
    const bool newest = number == state_.generations.rbegin()->first;
    if (auto loaded = load_generation(number, record, newest); !loaded)
      return loaded;
  }
  return {};
}

result<void> recovery::load_generation(std::uint64_t number, const generation_record& record,
                                       bool newest) {
  saw(record.first_sequence - 1);
  const auto where =
      generation::existing(store_.levels_, store_.open_, store_.directory_->journal(), number);
  if (!where)
    return lose_generation(number, record, where.error());
  auto table = (*where)->read_table();
  if (!table)
    return lose_generation(number, record, table.error());
  if (*table) {
    if (record.state != generation_state::sealed) // stopped while it was being sealed
      half_sealed_ = {number, record};
    return load_sealed(*where, record, std::move(**table));
  }
  if (newest && record.state == generation_state::begun)
    return load_active(*where, record);
  return lose_generation(number, record,
                         {ec::damaged, (*where)->name() + " has lost its table of contents"});
}

/// Whom the loss of a sealed generation concerns is recorded; that of the active one concerns all.
result<void> recovery::lose_generation(std::uint64_t number, const generation_record& record,
                                       const failure& why) {
  if (record.state != generation_state::sealed || why.code != ec::damaged)
    return why;
  saw(record.end_sequence - 1);
  bool concerns_somebody = false;
  for (const auto& part : record.parts) {
    if (first_sequence_of(part.partition) >= record.end_sequence)
      continue; // the copy has ended
    damage(partition_of(part.partition), why);
    concerns_somebody = true;
  }
  if (concerns_somebody)
    return {};
  store_.log("removing a generation that concerns no copy any more: " + why.detail);
  state_batch gone;
  gone.put_generation(number,
                      {generation_state::gone, record.first_sequence, record.end_sequence, {}});
  if (auto written = store_.state_->commit(gone); !written)
    return written;
  return destroy_generation(store_.levels_, generation_path(store_.directory_->journal(), number));
}

result<void> recovery::load_sealed(const generation_ptr& where, const generation_record& record,
                                   table_of_contents table) {
  saw(table.last_sequence);
  auto& sealed = store_.sealed_[where->number()];
  sealed.where = where;
  sealed.first_sequence = record.first_sequence;
  sealed.end_sequence = table.last_sequence + 1;
  for (auto& [id, pages] : table.partitions) {
    for (const auto& each : pages)
      sealed.bytes += each.bytes;
    // A generation holds entries of one copy alone: those of an ended one leave the index with it.
    if (pages.empty() || pages.back().last_sequence < first_sequence_of(id))
      continue;
    auto& index = partition_of(id);
    for (const auto& summary : pages) {
      const auto entries = where->read_page(summary);
      if (entries)
        add_runs(id, *entries);
      else if (entries.error().code == ec::damaged)
        damage(index, entries.error());
      else
        return entries.error();
    }
    index.sealed[where->number()] = {where, std::move(pages)};
    sealed.partitions.insert(id);
  }
  return {};
}

struct recovery::active_scan {
  const generation* where = nullptr;
  std::map<partition_id, std::vector<table_entry>> entries;
  std::map<partition_id, log_position> last;
};

result<void> recovery::load_active(const generation_ptr& where, const generation_record& record) {
  store_.active_ = where;
  store_.active_first_sequence_ = record.first_sequence;
  active_scan scan;
  scan.where = where.get();
  for (const auto& [id, index] : store_.partitions_)
    for (const auto& [number, part] : index.sealed) {
      auto& last = scan.last[id];
      const auto& newest = part.pages.back();
      if (newest.entries.last > last.index)
        last = {newest.entries.last, {}, newest.after};
    }
  const auto scanned = where->scan([&](std::uint64_t sequence, std::string_view bytes) {
    return visit_active(scan, sequence, bytes);
  });
  if (!scanned)
    return scanned;
  const auto last = where->read_last_sequence();
  if (!last)
    return last.error();
  saw(*last);
  for (auto& [id, entries] : scan.entries) {
    auto& index = partition_of(id);
    index.active.assign(std::move(entries));
    add_runs(id, index.active.fresh());
  }
  return {};
}

result<void> recovery::visit_active(active_scan& scan, std::uint64_t sequence,
                                    std::string_view bytes) {
  saw(sequence);
  store_.active_bytes_ += bytes.size();
  ++store_.active_entries_;
  const auto e = decode_entry(bytes);
  if (!e) {
    const failure why{ec::damaged, "the entry with sequence number " + std::to_string(sequence) +
                                       " in " + scan.where->name() +
                                       " is damaged: " + e.error().detail};
    // Whose it was can only be said when it names the chain that it continues.
    for (const auto& [id, last] : scan.last)
      if (entry_continues(bytes, id, last)) {
        damage(partition_of(id), why);
        return {};
      }
    return failure{ec::damaged, why.detail + what_to_do};
  }
  if (sequence < first_sequence_of(e->partition))
    return {}; // of a copy that has ended
  scan.entries[e->partition].push_back(describe(*e, sequence));
  auto& last = scan.last[e->partition];
  if (e->index >= last.index) {
    last = position_of(*e);
    stamps_[e->partition] = e->stamped;
  }
  return {};
}

result<void> recovery::begin_active() {
  store_.next_sequence_ = last_sequence_ + 1;
  for (const auto& [id, copy] : state_.copies)
    if (copy)
      store_.next_sequence_ = std::max(store_.next_sequence_, copy->first_sequence);
  for (const auto& [id, end] : state_.ended)
    store_.next_sequence_ = std::max(store_.next_sequence_, end);
  if (store_.active_)
    return {};
  auto made =
      generation::create(store_.levels_, store_.open_, store_.directory_->journal(), newest_ + 1);
  if (!made)
    return made.error();
  state_batch batch;
  if (half_sealed_) {
    auto& [number, record] = *half_sealed_;
    record.state = generation_state::sealed;
    record.end_sequence = store_.next_sequence_;
    const auto& sealed = store_.sealed_.at(number);
    for (const auto& id : sealed.partitions) {
      const auto& pages = store_.partitions_.at(id).sealed.at(number).pages;
      record.parts.push_back({id, {pages.front().entries.first, pages.back().entries.last}});
    }
    batch.put_generation(number, record);
    store_.log("finished sealing " + sealed.where->name());
  }
  batch.put_generation((*made)->number(), {generation_state::begun, store_.next_sequence_, 0, {}});
  if (auto written = store_.state_->commit(batch); !written)
    return written;
  store_.active_ = std::move(*made);
  store_.active_first_sequence_ = store_.next_sequence_;
  return {};
}

result<void> recovery::check_end() const {
  if (last_sequence_ >= state_.last_sequence)
    return {};
  return failure{ec::damaged, "the journal in " + store_.directory_->journal() +
                                  " ends at sequence number " + std::to_string(last_sequence_) +
                                  ", but " + std::to_string(state_.last_sequence) +
                                  " was written and synced: its end is lost" + what_to_do};
}

} // namespace waybill
