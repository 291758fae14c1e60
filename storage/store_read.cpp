// Reading, from any thread: what is asked is found under the index's lock, and read without it.
#include "storage/store_impl.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <algorithm>
#include <filesystem>

namespace waybill {
namespace {

failure unknown(partition_id partition) {
  return {ec::unknown_partition, "no copy of partition " + name_of(partition) + " lives here"};
}

} // namespace

failure hole_at(partition_id partition, log_index index) {
  return {ec::damaged,
          "entry " + std::to_string(index.value) + " of partition " + name_of(partition) +
              " is missing and was not dropped; the other partitions go on: restore the "
              "data directory from a copy, or delete the topic"};
}

std::optional<log_index> first_not_dropped(const partition_index& index, log_index from,
                                           log_index to) {
  if (from > to)
    return std::nullopt;
  const auto* gone = index.dropped_at(from); // adjacent ranges are one, so one must hold all
  if (!gone)
    return from;
  if (gone->entries.last < to)
    return log_index{gone->entries.last.value + 1};
  return std::nullopt;
}

class store_impl::pin_holder final : public store_pin {
public:
  explicit pin_holder(std::shared_ptr<pins> counted) : counted_{std::move(counted)} {
    std::lock_guard lock{counted_->mutex};
    ++counted_->count;
  }
  ~pin_holder() override {
    std::lock_guard lock{counted_->mutex};
    --counted_->count;
  }
  pin_holder(const pin_holder&) = delete;
  pin_holder& operator=(const pin_holder&) = delete;

private:
  std::shared_ptr<pins> counted_;
};

std::unique_ptr<store_pin> store_impl::pin() const { return std::make_unique<pin_holder>(pins_); }

template <class F>
auto store_impl::look(partition_id partition, F find) const
    -> result<decltype(find(std::declval<const partition_index&>(), std::declval<page_view&>()))> {
  page_view pages{pages_};
  for (;;) {
    pages.begin();
    {
      std::lock_guard lock{mutex_};
      const auto index = partitions_.find(partition);
      if (index == partitions_.end())
        return unknown(partition);
      auto found = find(index->second, pages);
      if (!pages.misses())
        return found;
    }
    if (auto loaded = pages.load_missing(); !loaded && loaded.error().code != ec::not_found)
      return loaded.error();
  }
}

store_impl::stretch store_impl::find_stretch(const partition_index& index, log_index from,
                                             std::size_t bytes_max, page_view& pages) const {
  stretch found;
  std::size_t bytes = 0;
  for (auto next = std::max(from, log_index{1}); found.entries.empty() || bytes <= bytes_max;) {
    const auto here = index.at_or_after(next, active_, pages);
    // Beyond the end: a tail that is just being dropped.
    const bool there = here && (here->what.index <= index.last.index || index.damage);
    if (pages.misses()) {
      if (!found.entries.empty())
        pages.begin(); // enough for now; the next look goes on from there
      return found;
    }
    const auto gap_end = there ? log_index{here->what.index.value - 1} : index.last.index;
    if (const auto hole = first_not_dropped(index, next, gap_end))
      found.bad = index.damage ? *index.damage : hole_at(index.id, *hole);
    else if (!there && index.damage)
      found.bad = index.damage; // the log may have gone on from here
    if (found.bad || !there)
      return found;
    bytes += here->what.bytes - entry_header_bytes;
    next = log_index{here->what.index.value + 1};
    found.entries.push_back(*here);
  }
  return found;
}

result<entry> store_impl::fetch(partition_id partition, const located& where) const {
  const auto bytes = where.where->entry_bytes(where.what.sequence);
  if (!bytes)
    return bytes.error();
  const auto place = "entry " + std::to_string(where.what.index.value) + " of partition " +
                     name_of(partition) + " (sequence number " +
                     std::to_string(where.what.sequence) + " in " + where.where->name() + ")";
  auto decoded = decode_entry(*bytes);
  if (!decoded)
    return failure{ec::damaged, place + " is damaged: " + decoded.error().detail};
  if (decoded->partition != partition || decoded->index != where.what.index ||
      decoded->hash != where.what.hash)
    return failure{ec::damaged, place + " is another entry than the index says"};
  return decoded;
}

result<std::vector<entry>> store_impl::read(partition_id partition, log_index from,
                                            std::size_t bytes_max) const {
  std::vector<entry> entries;
  std::size_t bytes = 0;
  for (;;) {
    const auto found = look(partition, [&](const partition_index& index, page_view& pages) {
      return find_stretch(index, from, bytes_max - std::min(bytes, bytes_max), pages);
    });
    if (!found)
      return found.error();
    if (found->entries.empty() && entries.empty() && found->bad)
      return *found->bad;
    if (found->entries.empty())
      return entries;
    for (const auto& each : found->entries) {
      auto content = fetch(partition, each);
      if (!content && content.error().code == ec::not_found)
        break; // it moved, or was dropped, since it was found: look again
      if (!content && entries.empty())
        return content.error();
      if (!content)
        return entries; // who goes on from here is told
      from = log_index{content->index.value + 1};
      bytes += content->body.size();
      entries.push_back(std::move(*content));
      if (bytes > bytes_max)
        return entries;
    }
  }
}

result<std::optional<entry>> store_impl::entry_with(partition_id partition,
                                                    message_offset offset) const {
  for (;;) {
    const auto found = look(partition, [&](const partition_index& index, page_view& pages) {
      auto entry = index.with_offset(offset, active_, pages);
      if (entry && entry->what.index > index.last.index)
        entry.reset(); // a tail that is just being dropped
      return entry;
    });
    if (!found)
      return found.error();
    if (!*found)
      return std::optional<entry>{};
    auto content = fetch(partition, **found);
    if (content)
      return std::optional{std::move(*content)};
    if (content.error().code != ec::not_found)
      return content.error();
  }
}

result<std::optional<entry>> store_impl::entry_at(partition_id partition, log_index index) const {
  if (index.value == 0)
    return std::optional<entry>{};
  for (;;) {
    const auto found = look(partition, [&](const partition_index& all, page_view& pages) {
      stretch one;
      if (index <= all.last.index)
        one = find_stretch(all, index, 0, pages);
      return one;
    });
    if (!found)
      return found.error();
    if (found->entries.empty() && found->bad)
      return *found->bad;
    if (found->entries.empty() || found->entries.front().what.index != index)
      return std::optional<entry>{};
    auto content = fetch(partition, found->entries.front());
    if (content)
      return std::optional{std::move(*content)};
    if (content.error().code != ec::not_found)
      return content.error();
  }
}

result<std::optional<message_offset>> store_impl::first_message(partition_id partition,
                                                                message_offset offset) const {
  return look(partition, [&](const partition_index& index, page_view& pages) {
    auto first = index.first_message(offset, pages);
    if (first && *first >= index.next_offset)
      first.reset(); // a tail that is just being dropped
    return first;
  });
}

result<page> store_impl::read_whole_page(const sealed_part& part,
                                         const page_summary& summary) const {
  page_view pages{pages_};
  for (;;) {
    pages.begin();
    if (const auto* content = pages.find(part.where, summary))
      return *content;
    if (auto loaded = pages.load_missing(); !loaded)
      return loaded.error();
  }
}

result<recovered_partition> store_impl::current(partition_id partition) const {
  recovered_partition now;
  {
    std::lock_guard lock{mutex_};
    const auto found = partitions_.find(partition);
    if (found == partitions_.end())
      return unknown(partition);
    const auto& index = found->second;
    now.id = partition;
    now.copy = index.copy;
    now.last = index.last;
    now.next_offset = index.next_offset;
    now.last_stamp = index.last_stamp;
    now.damage = index.damage;
    if (const auto promised = promised_.find(partition); promised != promised_.end())
      now.promised = promised->second;
  }
  auto newest = state_->read_checkpoint(partition);
  if (!newest)
    return newest.error();
  if (*newest)
    now.checkpointed = std::move((*newest)->state);
  return now;
}

result<dropped_books> store_impl::dropped(partition_id partition) const {
  std::lock_guard lock{mutex_};
  const auto index = partitions_.find(partition);
  if (index == partitions_.end())
    return unknown(partition);
  return index->second.dropped;
}

result<std::vector<dead_letter>> store_impl::dead_letters(partition_id partition,
                                                          const std::string& group,
                                                          message_offset from, std::size_t most,
                                                          std::size_t bytes_max) const {
  copy_id copy;
  {
    std::lock_guard lock{mutex_};
    const auto index = partitions_.find(partition);
    if (index == partitions_.end())
      return unknown(partition);
    copy = index->second.copy;
  }
  return state_->dead_letters(partition, copy, group, from, most, bytes_max);
}

result<std::optional<std::string>> store_impl::record(const std::string& key) const {
  return state_->record(key);
}

result<std::vector<std::pair<std::string, std::string>>>
store_impl::records(const std::string& prefix) const {
  return state_->records(prefix);
}

store_statistics store_impl::statistics() const {
  std::lock_guard lock{mutex_};
  auto now = counters_;
  now.sync_calls = levels_.sync_calls();
  now.generations = sealed_.size() + 1;
  now.table_bytes = pages_.bytes();
  for (const auto& [id, index] : partitions_) {
    now.table_bytes += index.active.size() * sizeof(table_entry);
    for (const auto& [number, part] : index.sealed)
      now.table_bytes += part.pages.size() * sizeof(page_summary);
  }
  return now;
}

result<std::uint64_t> store_impl::disk_free() const {
  if (options_.disk_free)
    return options_.disk_free();
  // A test's Env may keep its files elsewhere; then the nearest directory that exists answers.
  for (auto where = std::filesystem::absolute(options_.directory);; where = where.parent_path()) {
    std::error_code wrong;
    const auto space = std::filesystem::space(where, wrong);
    if (!wrong)
      return static_cast<std::uint64_t>(space.available);
    if (wrong != std::errc::no_such_file_or_directory || where == where.parent_path())
      return failure{ec::storage_failed, "asking for the free space of " + where.string() +
                                             " failed: " + wrong.message()};
  }
}

} // namespace waybill
