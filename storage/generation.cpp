// One generation's database: keys, reading, writing, and when it is open.
//
// Keys: an entry's sequence number, 8 bytes big-endian. Behind all of these (sequence numbers never
// reach 2^63): 0xff 'L' the last sequence number given out before a truncation, 0xff 'P' and 4
// bytes a page, 0xff 'T' the table of contents.
#include "storage/generation.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace waybill {
namespace {

constexpr std::string_view table_key = "\xffT";
constexpr std::string_view last_sequence_key = "\xffL";
constexpr std::uint64_t kept_bytes_max = 8u << 20; ///< what an empty batch may hold on to

leveldb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

std::string sequence_key(std::uint64_t sequence) {
  WAYBILL_ASSERT(sequence < 1ull << 63);
  std::string key;
  byte_writer{key}.u64(sequence);
  return key;
}

std::string page_key(std::uint32_t number) {
  std::string key = "\xffP";
  byte_writer{key}.u32(number);
  return key;
}

leveldb::ReadOptions careful() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

} // namespace

generation_batch::generation_batch() : batch_{std::make_unique<leveldb::WriteBatch>()} {}
generation_batch::~generation_batch() = default;

void generation_batch::clear() {
  if (bytes_ > kept_bytes_max)
    batch_ = std::make_unique<leveldb::WriteBatch>();
  else
    batch_->Clear(); // keeps what it has allocated
  bytes_ = 0;
}

void generation_batch::put(std::uint64_t sequence, std::string_view encoded_entry) {
  batch_->Put(sequence_key(sequence), slice(encoded_entry));
  bytes_ += encoded_entry.size();
}

void generation_batch::remove(std::uint64_t sequence) { batch_->Delete(sequence_key(sequence)); }

void generation_batch::put_page(std::uint32_t number, std::string_view encoded) {
  batch_->Put(page_key(number), slice(encoded));
  bytes_ += encoded.size();
}

void generation_batch::remove_page(std::uint32_t number) { batch_->Delete(page_key(number)); }

void generation_batch::put_table(std::string_view encoded) {
  batch_->Put(slice(table_key), slice(encoded));
  bytes_ += encoded.size();
}

void generation_batch::put_last_sequence(std::uint64_t sequence) {
  batch_->Put(slice(last_sequence_key), framed(last_sequence_key, sequence_key(sequence)));
}

void open_generations::opened(const generation_ptr& which) {
  std::vector<generation_ptr> open;
  {
    std::lock_guard lock{mutex_};
    std::erase_if(open_, [&](const std::weak_ptr<generation>& each) {
      const auto alive = each.lock();
      return !alive || alive == which;
    });
    open_.push_back(which);
    if (open_.size() <= most_)
      return;
    for (const auto& each : open_)
      if (auto alive = each.lock())
        open.push_back(std::move(alive));
    std::ranges::sort(open, {}, &generation::last_used);
    open.resize(open.size() - std::min<std::size_t>(open.size(), most_));
    std::erase_if(open_, [&](const std::weak_ptr<generation>& each) {
      return std::ranges::find(open, each.lock()) != open.end();
    });
  }
  for (const auto& each : open)
    if (each != which)
      each->close_if_idle();
}

generation::generation(const level_context& levels, open_generations& open, std::string path,
                       std::uint64_t number)
    : levels_{levels}, open_{open}, path_{std::move(path)}, number_{number} {}

generation::~generation() = default;

result<generation_ptr> generation::create(const level_context& levels, open_generations& open,
                                          const std::string& journal, std::uint64_t number) {
  auto made = std::make_shared<generation>(levels, open, generation_path(journal, number), number);
  auto options = levels.journal_options();
  options.create_if_missing = true;
  options.error_if_exists = true;
  leveldb::DB* database = nullptr;
  const auto status = leveldb::DB::Open(options, made->path_, &database);
  if (!status.ok())
    return write_failure(status, made->name());
  made->database_.reset(database);
  for (const auto& directory : {made->path_, journal})
    if (auto synced = levels.sync_directory(directory); !synced)
      return synced.error();
  made->last_used_ = open.now();
  open.opened(made);
  return made;
}

result<generation_ptr> generation::existing(const level_context& levels, open_generations& open,
                                            const std::string& journal, std::uint64_t number) {
  auto made = std::make_shared<generation>(levels, open, generation_path(journal, number), number);
  if (auto opened = made->open_existing(); !opened)
    return opened.error();
  open.opened(made);
  return made;
}

std::string generation::name() const {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%06llu", static_cast<unsigned long long>(number_));
  return std::string{"generation "} + text.data() + " of the journal (" + path_ + ")";
}

result<void> generation::open_existing() {
  std::unique_lock alone{use_};
  if (database_ || destroyed_)
    return {};
  // LevelDB would say "does not exist (create_if_missing is false)", which helps nobody.
  if (!levels_.has_database(path_)) {
    if (const auto listed = levels_.children(path_); !listed)
      return listed.error(); // a disk that cannot be read has not lost it
    return failure{ec::damaged, name() + " is missing: restore the data directory from a copy"};
  }
  leveldb::DB* database = nullptr;
  const auto status = leveldb::DB::Open(levels_.journal_options(), path_, &database);
  if (!status.ok())
    return read_failure(status, name());
  database_.reset(database);
  last_used_ = open_.now();
  return {};
}

template <class F>
auto generation::with_database(F use) -> decltype(use(std::declval<leveldb::DB&>())) {
  for (;;) {
    {
      std::shared_lock shared{use_};
      if (destroyed_)
        return failure{ec::not_found, name() + " was destroyed"};
      if (database_) {
        last_used_ = open_.now();
        return use(*database_);
      }
    }
    if (auto opened = open_existing(); !opened)
      return opened.error();
    open_.opened(shared_from_this());
  }
}

result<void> generation::write(generation_batch& batch) {
  return with_database([&](leveldb::DB& database) -> result<void> {
    leveldb::WriteOptions options;
    options.sync = true;
    const auto status = database.Write(options, &batch.level());
    if (!status.ok())
      return write_failure(status, name());
    return {};
  });
}

result<std::optional<std::string>> generation::value(std::string_view key) {
  using answer = result<std::optional<std::string>>;
  return with_database([&](leveldb::DB& database) -> answer {
    std::string bytes;
    const auto status = database.Get(careful(), slice(key), &bytes);
    if (status.IsNotFound())
      return std::optional<std::string>{};
    if (!status.ok())
      return read_failure(status, name());
    return std::optional{std::move(bytes)};
  });
}

result<std::string> generation::entry_bytes(std::uint64_t sequence) {
  auto bytes = value(sequence_key(sequence));
  if (!bytes)
    return bytes.error();
  if (!*bytes)
    return failure{ec::damaged,
                   "sequence number " + std::to_string(sequence) + " is missing in " + name()};
  return std::move(**bytes);
}

result<page> generation::read_page(const page_summary& summary) {
  const auto where = "page " + std::to_string(summary.number) + " of the table of " + name();
  const auto bytes = value(page_key(summary.number));
  if (!bytes)
    return bytes.error();
  if (!*bytes)
    return failure{ec::damaged, where + " is missing"};
  auto entries = decode_page(**bytes, summary);
  if (!entries)
    return failure{ec::damaged, where + ": " + entries.error().detail};
  return entries;
}

result<std::optional<table_of_contents>> generation::read_table() {
  const auto bytes = value(table_key);
  if (!bytes)
    return bytes.error();
  if (!*bytes)
    return std::optional<table_of_contents>{};
  auto table = decode_table(**bytes);
  if (!table)
    return failure{ec::damaged, name() + ": " + table.error().detail};
  return std::optional{std::move(*table)};
}

result<std::uint64_t> generation::read_last_sequence() {
  const auto bytes = value(last_sequence_key);
  if (!bytes)
    return bytes.error();
  if (!*bytes)
    return std::uint64_t{0};
  std::string_view content;
  if (!unframe(last_sequence_key, **bytes, content) || content.size() != 8)
    return failure{ec::damaged, name() + ": the record of the last sequence number is damaged"};
  return byte_reader{content}.u64();
}

result<void> generation::scan(
    const std::function<result<void>(std::uint64_t sequence, std::string_view bytes)>& visit) {
  return with_database([&](leveldb::DB& database) -> result<void> {
    auto options = careful();
    options.fill_cache = false;
    const std::unique_ptr<leveldb::Iterator> each{database.NewIterator(options)};
    for (each->SeekToFirst(); each->Valid(); each->Next()) {
      const auto key = each->key();
      if (key.size() > 0 && static_cast<unsigned char>(key[0]) == 0xff)
        break; // the table and its kin
      if (key.size() != 8)
        return failure{ec::damaged, name() + " holds a key that is not a sequence number"};
      const auto sequence = byte_reader{{key.data(), key.size()}}.u64();
      if (auto visited = visit(sequence, {each->value().data(), each->value().size()}); !visited)
        return visited;
    }
    if (!each->status().ok())
      return read_failure(each->status(), name());
    return {};
  });
}

void generation::close_if_idle() {
  const std::unique_lock alone{use_, std::try_to_lock};
  if (alone.owns_lock())
    database_.reset();
}

result<void> generation::destroy() {
  const std::unique_lock alone{use_};
  database_.reset();
  destroyed_ = true;
  return destroy_generation(levels_, path_);
}

std::string generation_path(const std::string& journal, std::uint64_t number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "/%06llu", static_cast<unsigned long long>(number));
  return journal + text.data();
}

std::optional<std::uint64_t> generation_number(const std::string& name) {
  if (name.size() < 6 || name.size() > 18 ||
      name.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoull(name);
}

result<void> destroy_generation(const level_context& levels, const std::string& path) {
  const auto status = leveldb::DestroyDB(path, levels.journal_options());
  if (!status.ok())
    return failure{ec::storage_failed, "removing " + path + " failed: " + status.ToString()};
  return {};
}

} // namespace waybill
