// Whether a store holds what its history was promised. Every difference is said in words, so that a
// test of damage can tell "found out" from "lost in silence".
#include "tests/unit/storage_faults/history.hpp"

#include <algorithm>
#include <utility>

namespace waybill::test {
namespace {

constexpr std::size_t read_bytes = 20'000;

std::string place(partition_id id, std::uint64_t index) {
  return "entry " + std::to_string(index) + " of partition " + std::to_string(id.number);
}

} // namespace

void apply_letter(letters_held& held, const letter_change& change) {
  if (const auto* put = std::get_if<dead_letter_put>(&change)) {
    held[{put->partition, put->group}][put->letter.offset] = put->letter;
    return;
  }
  const auto& removed = std::get<dead_letter_removed>(change);
  held[{removed.partition, removed.group}].erase(removed.offset);
}

std::optional<std::string> store_history::check() {
  const on_its_way asked = std::exchange(pending_, {});
  if (auto wrong = check_copies(asked))
    return wrong;
  std::optional<bool> new_ones; // whether the write on its way was done; alike for all partitions
  for (auto& [id, model] : partitions_) {
    const auto& found = store_->recovered().at(id);
    if (found.damage)
      return "damage: " + found.damage->detail;
    if (auto wrong = check_promise(id, found, asked))
      return wrong;
    if (auto wrong = check_end(id, model, found, asked, new_ones))
      return wrong;
    if (auto wrong = check_checkpoint(id, model, found, asked))
      return wrong;
    if (auto wrong = check_contents(id, model))
      return wrong;
  }
  if (auto wrong = check_records(asked))
    return wrong;
  return check_letters();
}

store_history::verdict store_history::check_copies(const on_its_way& asked) {
  const auto& found = store_->recovered();
  if (asked.ended && !found.contains(*asked.ended))
    forget(*asked.ended);
  if (asked.begun && found.contains(*asked.begun))
    partitions_[*asked.begun].copy = copy_id{copies_};
  for (const auto& [id, model] : partitions_) {
    const auto there = found.find(id);
    if (there == found.end())
      return "partition " + std::to_string(id.number) + " is gone";
    if (there->second.copy != model.copy)
      return "partition " + std::to_string(id.number) + " is another copy";
  }
  if (found.size() != partitions_.size())
    return "there is a partition that nobody began";
  return std::nullopt;
}

store_history::verdict store_history::check_promise(partition_id id,
                                                    const recovered_partition& found,
                                                    const on_its_way& asked) {
  auto& promise = promised_[id];
  const auto newer = asked.promises.find(id);
  if (newer != asked.promises.end() && found.promised == newer->second)
    promise = newer->second;
  if (found.promised == promise)
    return std::nullopt;
  return "the promise of partition " + std::to_string(id.number) + " is epoch " +
         std::to_string(found.promised.value) + ", not " + std::to_string(promise.value);
}

store_history::verdict store_history::check_end(partition_id id, partition_model& model,
                                                const recovered_partition& found,
                                                const on_its_way& asked,
                                                std::optional<bool>& new_ones) {
  const auto ends_with = [&found](const std::vector<entry>& log) {
    return found.last == (log.empty() ? log_position{} : position_of(log.back()));
  };
  auto log = model.log;
  if (const auto written = asked.written.find(id); written != asked.written.end()) {
    log.insert(log.end(), written->second.begin(), written->second.end());
    const bool done = ends_with(log);
    if (!done && !ends_with(model.log))
      return "half of a write is there";
    if (new_ones && *new_ones != done)
      return "a write is there for one partition and not for another";
    new_ones = done;
    if (done)
      model.log = std::move(log);
  } else if (asked.truncated && asked.truncated->partition == id) {
    log.resize(asked.truncated->keep);
    log.insert(log.end(), asked.truncated->replacement.begin(), asked.truncated->replacement.end());
    if (ends_with(log))
      model.log = std::move(log);
    else if (found.last.index.value >= asked.truncated->keep &&
             found.last.index.value <= model.log.size())
      model.log.resize(found.last.index.value);
  }
  if (!ends_with(model.log))
    return "the log ends at " + place(id, found.last.index.value) + " and not at " +
           std::to_string(model.log.size());
  const auto offset = model.log.empty() ? message_offset{} : offsets_of(model.log.back()).end;
  if (found.next_offset != offset)
    return "the next offset is wrong after " + place(id, model.log.size());
  return std::nullopt;
}

store_history::verdict store_history::check_checkpoint(partition_id id, partition_model& model,
                                                       const recovered_partition& found,
                                                       const on_its_way& asked) const {
  const auto newer = asked.checkpoints.find(id);
  if (newer != asked.checkpoints.end() && found.checkpointed == newer->second.state)
    model.newest = newer->second;
  const auto expected = model.newest ? std::optional{model.newest->state} : std::nullopt;
  if (found.checkpointed != expected)
    return "the checkpoint of partition " + std::to_string(id.number) + " is another one";
  return std::nullopt;
}

store_history::verdict store_history::check_contents(partition_id id,
                                                     const partition_model& model) const {
  std::vector<bool> there(model.log.size() + 1, false);
  for (log_index from{1};;) {
    const auto entries = store_->read(id, from, read_bytes);
    if (!entries)
      return "damage: " + entries.error().detail;
    if (entries->empty())
      break;
    for (const auto& e : *entries) {
      if (e.index < from || e.index.value > model.log.size())
        return place(id, e.index.value) + " is out of order, or was never written";
      const auto& written = model.log[e.index.value - 1];
      if (position_of(e) != position_of(written) || !(e.body == written.body) ||
          e.previous != written.previous || offsets_of(e) != offsets_of(written) ||
          e.kind != written.kind || e.stamped != written.stamped)
        return place(id, e.index.value) + " is another one";
      there[e.index.value] = true;
      from = log_index{e.index.value + 1};
    }
  }
  if (auto wrong = check_gone(id, model, there))
    return wrong;
  return check_by_offset(id, model, there);
}

store_history::verdict store_history::check_gone(partition_id id, const partition_model& model,
                                                 const std::vector<bool>& there) const {
  const auto books = store_->dropped(id);
  if (!books)
    return "damage: " + books.error().detail;
  std::vector<bool> dropped(there.size(), false);
  std::uint64_t messages = 0;
  std::uint64_t last = 0;
  for (const auto& range : books->ranges) {
    if (range.entries.first.value <= last || range.entries.last.value >= there.size())
      return "the books of partition " + std::to_string(id.number) + " are out of order";
    last = range.entries.last.value;
    const auto& first_entry = model.log[range.entries.first.value - 1];
    const auto& last_entry = model.log[last - 1];
    if (range.before != first_entry.previous || range.after != last_entry.hash ||
        range.offsets != offset_range{first_entry.first_offset, offsets_of(last_entry).end})
      return "the books say another edge at " + place(id, last);
    for (auto index = range.entries.first.value; index <= last; ++index) {
      dropped[index] = true;
      messages += model.log[index - 1].message_count;
    }
  }
  if (messages != books->messages)
    return "the books of partition " + std::to_string(id.number) + " count other messages";
  for (std::uint64_t index = 1; index < there.size(); ++index) {
    if (!there[index] && !dropped[index])
      return place(id, index) + " is missing";
    const auto offsets = offsets_of(model.log[index - 1]);
    for (auto offset = offsets.first.value; dropped[index] && offset < offsets.end.value; ++offset)
      if (offset >= model.released.size() || !model.released[offset])
        return place(id, index) + " was dropped though it is needed";
  }
  return std::nullopt;
}

store_history::verdict store_history::check_by_offset(partition_id id, const partition_model& model,
                                                      const std::vector<bool>& there) const {
  for (std::uint64_t index = 1; index < there.size(); index += 7) {
    const auto& e = model.log[index - 1];
    const auto by_index = store_->entry_at(id, e.index);
    if (!by_index)
      return "damage: " + by_index.error().detail;
    if (by_index->has_value() != there[index])
      return place(id, index) + " is there for one call and not for another";
    if (e.message_count == 0 || !there[index])
      continue;
    const auto by_offset = store_->entry_with(id, e.first_offset);
    if (!by_offset)
      return "damage: " + by_offset.error().detail;
    if (!*by_offset || (*by_offset)->hash != e.hash)
      return place(id, index) + " is not found by its offset";
  }
  return std::nullopt;
}

store_history::verdict store_history::check_records(const on_its_way& asked) {
  const auto found = store_->records("");
  if (!found)
    return "damage: " + found.error().detail;
  const std::map<std::string, std::string> there{found->begin(), found->end()};
  auto newer = records_;
  for (const auto& [key, value] : asked.records)
    newer[key] = value;
  for (auto* each : {&records_, &newer})
    std::erase_if(*each, [](const auto& record) { return record.second.empty(); });
  if (there == newer)
    records_ = std::move(newer);
  if (there != records_)
    return "the records of others are not what they were";
  return std::nullopt;
}

store_history::verdict store_history::check_letters() {
  letters_held there;
  for (const auto& [id, model] : partitions_)
    for (const std::string group : {"group-0", "group-1"}) {
      const auto letters = store_->dead_letters(id, group, message_offset{0}, 1'000, 1u << 30);
      if (!letters)
        return "damage: " + letters.error().detail;
      for (const auto& letter : *letters)
        there[{id, group}][letter.offset] = letter;
    }
  const auto as_found = [&there](letters_held held) {
    std::erase_if(held, [](const auto& group) { return group.second.empty(); });
    return held == there;
  };
  // What was not covered by a checkpoint may be there up to any change, in order.
  for (auto change = changes_.begin(); !as_found(letters_); ++change) {
    if (change == changes_.end())
      return "the dead letters are those of no moment since the checkpoint";
    apply_letter(letters_, *change);
  }
  changes_.clear();
  return std::nullopt;
}

} // namespace waybill::test
