// What a random history does to a store.
#include "tests/unit/storage_faults/history.hpp"

#include <algorithm>
#include <cstdlib>

namespace waybill::test {

std::uint64_t histories(std::uint64_t usual) {
  const char* percent = std::getenv("WAYBILL_HISTORIES_PERCENT");
  return percent ? std::max<std::uint64_t>(usual * std::strtoull(percent, nullptr, 10) / 100, 1)
                 : usual;
}

store_options small_store(fault_env& env) {
  store_options options;
  options.directory = "/data/node";
  options.generation_bytes = 96u << 10;
  options.generation_entries = 40;
  options.write_buffer_bytes = 64u << 10;
  options.block_cache_bytes = 64u << 10;
  options.open_generations_max = 3;
  options.tables_bytes_max = 8u << 10;
  options.empty_below_percent = 30;
  options.env = &env;
  return options;
}

entry next_entry(const std::vector<entry>& log, partition_id partition, epoch written,
                 std::uint32_t messages, std::string body) {
  entry e;
  e.partition = partition;
  e.index = log_index{log.size() + 1};
  e.written = written;
  e.kind = messages > 0 ? entry_kind::messages : entry_kind::delivery;
  e.first_offset = log.empty() ? message_offset{0} : offsets_of(log.back()).end;
  e.message_count = messages;
  e.stamped = log.empty() ? wall_time{milliseconds{1'000}} : log.back().stamped + milliseconds{1};
  e.previous = log.empty() ? hash128{} : log.back().hash;
  e.body = shared_bytes{std::move(body)};
  e.hash = chain_hash(e);
  return e;
}

store_history::store_history(fault_env& env, std::uint64_t seed)
    : env_{env}, random_{seed}, options_{small_store(env)} {
  options_.log = [this](const std::string& line) { said_.push_back(line); };
}

std::uint64_t store_history::draw(std::uint64_t most) {
  return std::uniform_int_distribution<std::uint64_t>{0, most}(random_);
}

std::string store_history::some_bytes(std::size_t bytes) {
  std::string made(bytes, '\0');
  for (auto& c : made)
    c = static_cast<char>(random_());
  return made;
}

std::optional<partition_id> store_history::some_partition() {
  if (partitions_.empty())
    return std::nullopt;
  return std::next(partitions_.begin(), static_cast<std::ptrdiff_t>(draw(partitions_.size() - 1)))
      ->first;
}

bool store_history::open() {
  refusal_.reset();
  last_error_.reset();
  writer_failed_ = false;
  auto opened = store::open(options_);
  if (!opened) {
    refusal_ = opened.error();
    return false;
  }
  store_ = std::move(*opened);
  return true;
}

bool store_history::take(const result<void>& outcome) {
  if (!outcome)
    fail(outcome.error(), caller::writer);
  return static_cast<bool>(outcome);
}

void store_history::fail(const failure& why, caller who) {
  last_error_ = why;
  writer_failed_ = writer_failed_ || who == caller::writer;
}

void store_history::acknowledged(partition_id id, const std::vector<entry>& entries) {
  auto& log = partitions_.at(id).log;
  log.insert(log.end(), entries.begin(), entries.end());
  if (!keep_receipts_)
    return;
  for (const auto& e : entries) {
    std::string bytes;
    encode_entry(e, bytes);
    receipts_.emplace_back(env_.mark(to_string(e.hash)), std::move(bytes));
  }
}

bool store_history::begin_copy(partition_id partition) {
  const copy_id copy{++copies_};
  pending_ = {};
  pending_.begun = partition;
  if (!take(store_->begin_copy(partition, copy)))
    return false;
  partitions_[partition].copy = copy;
  pending_ = {};
  return true;
}

bool store_history::end_some() {
  const auto id = some_partition();
  if (!id)
    return true;
  pending_ = {};
  pending_.ended = *id;
  if (!take(store_->end_copy(*id)))
    return false;
  forget(*id);
  pending_ = {};
  return true;
}

void store_history::forget(partition_id partition) {
  partitions_.erase(partition);
  std::erase_if(letters_, [&](const auto& held) { return held.first.first == partition; });
  std::erase_if(changes_, [&](const letter_change& change) {
    return std::visit([&](const auto& each) { return each.partition == partition; }, change);
  });
}

bool store_history::write_some(std::size_t entries, std::size_t body_bytes_most) {
  pending_ = {};
  write_set what;
  if (partitions_.empty())
    return true;
  if (draw(9) == 0)
    ++now_.value;
  for (std::size_t i = 0; i < entries; ++i) {
    const auto id = *some_partition();
    auto log = partitions_.at(id).log; // with what this call adds
    auto& added = pending_.written[id];
    log.insert(log.end(), added.begin(), added.end());
    added.push_back(next_entry(log, id, now_, static_cast<std::uint32_t>(draw(3)),
                               some_bytes(draw(body_bytes_most))));
    what.entries.push_back(added.back());
  }
  if (draw(4) == 0) {
    const auto id = *some_partition();
    what.promises.emplace_back(id, now_);
    pending_.promises[id] = now_;
  }
  if (draw(4) == 0) {
    const auto key = "key-" + std::to_string(draw(5));
    const auto value = draw(3) == 0 ? std::string{} : some_bytes(1 + draw(40));
    what.records.emplace_back(key, value);
    pending_.records[key] = value;
  }
  if (!take(store_->write(what)))
    return false;
  for (const auto& [id, written] : pending_.written)
    acknowledged(id, written);
  for (const auto& [id, number] : pending_.promises)
    promised_[id] = number;
  for (const auto& [key, value] : pending_.records)
    records_[key] = value;
  pending_ = {};
  return true;
}

bool store_history::write_random() {
  const auto body = draw(19) == 0 ? std::size_t{60'000} : std::size_t{2'000};
  return write_some(1 + draw(4), body);
}

bool store_history::truncate_some() {
  const auto id = some_partition();
  if (!id)
    return true;
  auto& model = partitions_.at(*id);
  const auto floor = model.newest ? model.newest->state.at.index.value : 0;
  const auto reach = std::min<std::uint64_t>(model.log.size() - floor, draw(3) == 0 ? 100 : 5);
  const auto keep = model.log.size() - draw(reach);
  std::vector<entry> log{model.log.begin(), model.log.begin() + static_cast<std::ptrdiff_t>(keep)};
  ++now_.value;
  std::vector<entry> replacement;
  for (auto count = draw(3); count > 0; --count) {
    replacement.push_back(
        next_entry(log, *id, now_, static_cast<std::uint32_t>(draw(3)), some_bytes(draw(1'000))));
    log.push_back(replacement.back());
  }
  pending_ = {};
  pending_.truncated = {*id, keep, replacement};
  if (!take(store_->truncate(*id, log_index{keep}, replacement)))
    return false;
  model.log.resize(keep);
  acknowledged(*id, replacement);
  pending_ = {};
  return true;
}

bool store_history::write_letters() {
  std::vector<letter_change> changes;
  for (auto count = 1 + draw(3); count > 0 && !partitions_.empty(); --count) {
    const auto id = *some_partition();
    const auto group = "group-" + std::to_string(draw(1));
    const message_offset offset{draw(20)};
    if (draw(2) == 0) {
      changes.emplace_back(dead_letter_removed{id, group, offset});
      continue;
    }
    dead_letter letter;
    letter.offset = offset;
    letter.attempts = static_cast<std::uint32_t>(draw(100));
    letter.reason = "reason " + std::to_string(draw(1'000'000));
    letter.message = some_bytes(1 + draw(300));
    changes.emplace_back(dead_letter_put{id, group, letter});
  }
  pending_ = {};
  changes_.insert(changes_.end(), changes.begin(), changes.end());
  return take(store_->write_dead_letters(changes));
}

checkpoint store_history::next_checkpoint(partition_model& model) {
  checkpoint next;
  auto& state = next.state;
  const auto floor = model.newest ? model.newest->state.at.index.value : 0;
  const auto at = model.log.size() - (draw(1) == 0 ? draw(model.log.size() - floor) : 0);
  if (at > 0) {
    const auto& last = model.log[at - 1];
    state.at = position_of(last);
    state.next_offset = offsets_of(last).end;
    state.last_stamp = last.stamped;
    state.confirmed = state.next_offset.value;
  }
  model.released.resize(std::max<std::size_t>(model.released.size(), state.next_offset.value));
  const auto most = draw(3); // some leave much behind, some next to nothing
  for (std::uint64_t offset = 0; offset < state.next_offset.value; ++offset)
    if (!model.released[offset])
      model.released[offset] = draw(most) > 0 || draw(20) == 0;
  for (std::uint64_t offset = 0; offset < state.next_offset.value; ++offset) {
    if (model.released[offset])
      continue;
    if (next.needed.empty() || next.needed.back().end.value != offset)
      next.needed.push_back({message_offset{offset}, message_offset{offset}});
    next.needed.back().end.value = offset + 1;
  }
  return next;
}

bool store_history::write_checkpoint(which partitions) {
  pending_ = {};
  std::vector<std::pair<partition_id, checkpoint>> all;
  for (auto& [id, model] : partitions_)
    if (partitions == which::all || draw(3) > 0) {
      all.emplace_back(id, next_checkpoint(model));
      pending_.checkpoints[id] = all.back().second;
    }
  if (!take(store_->write_checkpoints(all)))
    return false;
  for (auto& [id, value] : all)
    partitions_.at(id).newest = std::move(value);
  for (const auto& change : changes_)
    apply_letter(letters_, change);
  changes_.clear();
  pending_ = {};
  return true;
}

bool store_history::tidy_up() {
  pending_ = {};
  for (int step = 0; step < 100; ++step) {
    const auto more = store_->tidy();
    if (!more) {
      fail(more.error(), caller::writer);
      return false;
    }
    if (!*more)
      return true;
  }
  return true;
}

bool store_history::read_some() {
  pending_ = {};
  const auto id = some_partition();
  if (!id)
    return true;
  const auto& log = partitions_.at(*id).log;
  const auto entries = store_->read(*id, log_index{1 + draw(log.size())}, draw(10'000));
  if (!entries)
    fail(entries.error(), caller::reader);
  return static_cast<bool>(entries);
}

bool store_history::step() {
  const auto choice = draw(99);
  if (partitions_.size() < 3 && (partitions_.empty() || choice < 5)) {
    for (std::uint32_t number = 0; number < 3; ++number)
      if (const partition_id id{topic_id{7}, number}; !partitions_.contains(id))
        return begin_copy(id);
  }
  if (choice < 60)
    return write_random();
  if (choice < 68)
    return truncate_some();
  if (choice < 78)
    return write_letters();
  if (choice < 86)
    return write_checkpoint(which::some);
  if (choice < 93)
    return tidy_up();
  if (choice < 99)
    return read_some();
  return draw(3) > 0 || end_some();
}

std::uint64_t store_history::acknowledged_entries() const {
  std::uint64_t count = 0;
  for (const auto& [id, model] : partitions_)
    count += model.log.size();
  return count;
}

} // namespace waybill::test
