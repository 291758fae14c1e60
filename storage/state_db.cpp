// The small store over one LevelDB database.
#include "storage/state_db.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"
#include "storage/records_codec.hpp"
#include "storage/state_codec.hpp"

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <algorithm>

namespace waybill {
namespace {

constexpr std::uint64_t pending_bytes_max = 4u << 20;

leveldb::ReadOptions careful() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

bool begins_with(const leveldb::Slice& key, const std::string& prefix) {
  return key.starts_with(leveldb::Slice{prefix});
}

template <class T>
void keep(std::map<partition_id, result<T>>& in, const partition_id& partition,
          std::optional<T> value, const failure& otherwise) {
  if (value)
    in.insert_or_assign(partition, result<T>{std::move(*value)});
  else
    in.insert_or_assign(partition, result<T>{otherwise});
}

std::optional<epoch> decode_epoch(std::string_view bytes) {
  byte_reader in{bytes};
  const epoch value{in.u64()};
  return in.whole() ? std::optional{value} : std::nullopt;
}

} // namespace

void state_batch::put(std::string key, std::string_view content) {
  auto value = framed(key, content);
  bytes_ += key.size() + value.size();
  changes_.emplace_back(std::move(key), std::move(value));
}

void state_batch::remove(std::string key) {
  bytes_ += key.size();
  changes_.emplace_back(std::move(key), std::nullopt);
}

void state_batch::put_copy(partition_id partition, const copy_record& record) {
  put(state_key::of(state_key::copy, partition), encode_state(record));
}

void state_batch::end_copy(partition_id partition, copy_id copy, std::uint64_t next_sequence,
                           wall_time when) {
  std::string content;
  byte_writer out{content};
  out.u64(next_sequence);
  out.u64(static_cast<std::uint64_t>(when.time_since_epoch().count()));
  put(state_key::of_ended(partition, copy), content);
  remove(state_key::of(state_key::copy, partition));
  remove(state_key::of(state_key::checkpoint, partition));
  remove(state_key::of(state_key::dropped, partition));
}

void state_batch::put_promise(partition_id partition, epoch promised) {
  std::string content;
  byte_writer{content}.u64(promised.value);
  put(state_key::of(state_key::promise, partition), content);
}

void state_batch::put_checkpoint(partition_id partition, const checkpoint& value) {
  put(state_key::of(state_key::checkpoint, partition), encode_state(value));
}

void state_batch::put_dropped(partition_id partition, const dropped_books& value) {
  put(state_key::of(state_key::dropped, partition), encode_state(value));
}

void state_batch::put_generation(std::uint64_t number, const generation_record& record) {
  put(state_key::of_generation(number), encode_state(record));
}

void state_batch::remove_generation(std::uint64_t number) {
  remove(state_key::of_generation(number));
}

void state_batch::put_sequence(std::uint64_t sequence) {
  std::string content;
  byte_writer{content}.u64(sequence);
  put(state_key::of_sequence(), content);
}

void state_batch::put_record(const std::string& key, const std::string& value) {
  if (value.empty())
    remove(state_key::of_record(key));
  else
    put(state_key::of_record(key), value);
}

void state_batch::put_dead_letter(copy_id copy, const dead_letter_put& change) {
  put(state_key::of_dead_letter(change.partition, copy, change.group, change.letter.offset),
      encode(change.letter));
}

void state_batch::remove_dead_letter(copy_id copy, const dead_letter_removed& change) {
  remove(state_key::of_dead_letter(change.partition, copy, change.group, change.offset));
}

state_db::state_db(std::string path) : path_{std::move(path)} {}
state_db::~state_db() = default;

result<std::unique_ptr<state_db>> state_db::open(const level_context& levels,
                                                 const std::string& path, state_presence presence) {
  auto options = levels.state_options();
  options.create_if_missing = presence == state_presence::created_if_missing;
  if (!options.create_if_missing && !levels.has_database(path)) {
    if (const auto listed = levels.children(path); !listed)
      return listed.error(); // a disk that cannot be read has not lost it
    return failure{ec::damaged,
                   "the small store (" + path +
                       ") is missing, and with it what this node promised: restore the data "
                       "directory from a copy, or start with an empty one"};
  }
  std::unique_ptr<state_db> opened{new state_db{path}};
  leveldb::DB* database = nullptr;
  const auto status = leveldb::DB::Open(options, path, &database);
  if (!status.ok())
    return read_failure(status, "the small store (" + path + ")");
  opened->database_.reset(database);
  if (auto synced = levels.sync_directory(path); !synced)
    return synced.error();
  return opened;
}

failure state_db::damage_at(const std::string& key) const {
  return {ec::damaged, "the small store (" + path_ +
                           ") holds a damaged record under a key of kind '" + key.substr(0, 1) +
                           "'"};
}

result<stored_state> state_db::load() const {
  stored_state all;
  const std::unique_ptr<leveldb::Iterator> each{database_->NewIterator(careful())};
  for (each->SeekToFirst(); each->Valid(); each->Next()) {
    const auto key = each->key().ToString();
    const auto what = key.empty() ? '\0' : key[0];
    if (what == state_key::record || what == state_key::dead_letter)
      continue; // read when somebody asks
    const auto frame = each->value();
    std::string_view bytes;
    const bool good = unframe(key, {frame.data(), frame.size()}, bytes);
    byte_reader name{std::string_view{key}.substr(1)};
    const auto when_good = [good, bytes]<class T>(std::optional<T> (*decode)(std::string_view)) {
      return good ? decode(bytes) : std::optional<T>{};
    };
    switch (what) {
    case state_key::copy:
      keep(all.copies, name.partition(), when_good(decode_copy), damage_at(key));
      break;
    case state_key::promise:
      keep(all.promised, name.partition(), when_good(decode_epoch), damage_at(key));
      break;
    case state_key::checkpoint:
      keep(all.checkpoints, name.partition(), when_good(decode_checkpoint), damage_at(key));
      break;
    case state_key::dropped:
      keep(all.dropped, name.partition(), when_good(decode_dropped), damage_at(key));
      break;
    case state_key::ended: {
      if (!good)
        return damage_at(key);
      auto& until = all.ended[name.partition()];
      until = std::max(until, byte_reader{bytes}.u64());
      break;
    }
    case state_key::generation: {
      const auto record = when_good(decode_generation);
      if (!record)
        return damage_at(key);
      all.generations[name.u64()] = *record;
      break;
    }
    case state_key::sequence:
      if (!good)
        return damage_at(key);
      all.last_sequence = byte_reader{bytes}.u64();
      break;
    default:
      return damage_at(key);
    }
  }
  if (!each->status().ok())
    return read_failure(each->status(), "the small store (" + path_ + ")");
  return all;
}

result<void> state_db::write(const std::vector<const state_batch*>& batches) {
  leveldb::WriteBatch all;
  for (const auto* batch : batches)
    for (const auto& [key, value] : batch->changes_) {
      if (value)
        all.Put(key, *value);
      else
        all.Delete(key);
    }
  leveldb::WriteOptions options;
  options.sync = true; // without exception: see `add_pending`
  const auto status = database_->Write(options, &all);
  if (!status.ok())
    return write_failure(status, "the small store (" + path_ + ")");
  return {};
}

result<void> state_db::commit(const state_batch& batch) { return write({&batch}); }

result<void> state_db::add_pending(state_batch batch) {
  {
    std::lock_guard lock{pending_mutex_};
    pending_bytes_ += batch.bytes_;
    for (auto& [key, value] : batch.changes_)
      pending_.insert_or_assign(std::move(key), std::move(value));
    if (pending_bytes_ < pending_bytes_max)
      return {};
  }
  return commit_with_pending({});
}

result<void> state_db::commit_with_pending(const state_batch& batch) {
  state_batch pending;
  {
    std::lock_guard lock{pending_mutex_}; // only the writer changes it, so it may be copied
    pending.changes_.assign(pending_.begin(), pending_.end());
  }
  if (auto written = write({&pending, &batch}); !written)
    return written;
  std::lock_guard lock{pending_mutex_};
  pending_.clear();
  pending_bytes_ = 0;
  return {};
}

result<std::optional<std::string>> state_db::content(const std::string& key) const {
  std::string frame;
  const auto status = database_->Get(careful(), key, &frame);
  if (status.IsNotFound())
    return std::optional<std::string>{};
  if (!status.ok())
    return read_failure(status, "the small store (" + path_ + ")");
  std::string_view bytes;
  if (!unframe(key, frame, bytes))
    return damage_at(key);
  return std::optional{std::string{bytes}};
}

result<std::optional<checkpoint>> state_db::read_checkpoint(partition_id partition) const {
  const auto key = state_key::of(state_key::checkpoint, partition);
  const auto bytes = content(key);
  if (!bytes)
    return bytes.error();
  if (!*bytes)
    return std::optional<checkpoint>{};
  auto decoded = decode_checkpoint(**bytes);
  if (!decoded)
    return damage_at(key);
  return decoded;
}

result<std::optional<std::string>> state_db::record(const std::string& key) const {
  return content(state_key::of_record(key));
}

result<std::vector<std::pair<std::string, std::string>>>
state_db::records(const std::string& prefix) const {
  const auto first = state_key::of_record(prefix);
  std::vector<std::pair<std::string, std::string>> found;
  const std::unique_ptr<leveldb::Iterator> each{database_->NewIterator(careful())};
  for (each->Seek(first); each->Valid() && begins_with(each->key(), first); each->Next()) {
    const auto key = each->key().ToString();
    std::string_view bytes;
    if (!unframe(key, {each->value().data(), each->value().size()}, bytes))
      return damage_at(key);
    found.emplace_back(key.substr(1), std::string{bytes});
  }
  if (!each->status().ok())
    return read_failure(each->status(), "the small store (" + path_ + ")");
  return found;
}

result<std::vector<dead_letter>> state_db::dead_letters(partition_id partition, copy_id copy,
                                                        const std::string& group,
                                                        message_offset from, std::size_t most,
                                                        std::size_t bytes_max) const {
  const auto prefix = state_key::of_dead_letters(partition, copy, group);
  const auto first = state_key::of_dead_letter(partition, copy, group, from);
  std::map<std::string, std::optional<std::string>> pending;
  std::unique_ptr<leveldb::Iterator> each;
  {
    std::lock_guard lock{pending_mutex_}; // both at one moment: a change is in one or in both
    for (auto it = pending_.lower_bound(first);
         it != pending_.end() && it->first.starts_with(prefix); ++it)
      pending.insert(*it);
    each.reset(database_->NewIterator(careful()));
  }
  std::vector<dead_letter> found;
  std::size_t bytes = 0;
  each->Seek(first);
  while (found.size() < most && (found.empty() || bytes < bytes_max)) {
    const bool stored = each->Valid() && begins_with(each->key(), prefix);
    if (!stored && pending.empty())
      break;
    std::string key = stored ? each->key().ToString() : pending.begin()->first;
    if (!pending.empty())
      key = std::min(key, pending.begin()->first);
    std::optional<std::string> frame;
    if (stored && each->key() == leveldb::Slice{key}) {
      frame = each->value().ToString();
      each->Next();
    }
    if (!pending.empty() && pending.begin()->first == key) {
      frame = std::move(pending.begin()->second); // newer than what is stored
      pending.erase(pending.begin());
    }
    if (!frame)
      continue;
    std::string_view content;
    if (!unframe(key, *frame, content))
      return damage_at(key);
    auto letter = decode_dead_letter(content);
    if (!letter)
      return damage_at(key);
    bytes += content.size();
    found.push_back(std::move(*letter));
  }
  if (!each->status().ok())
    return read_failure(each->status(), "the small store (" + path_ + ")");
  return found;
}

} // namespace waybill
