// One generation of the journal: a LevelDB database whose keys are sequence numbers, and, once it
// is sealed, its table of contents. Opened when it is needed, closed when others are needed more.
// Source: docs/design.md, section 5 ("Journal", "Index").
#pragma once

#include "storage/error.hpp"
#include "storage/level.hpp"
#include "storage/table.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace leveldb {
class WriteBatch;
}

namespace waybill {

class generation;
using generation_ptr = std::shared_ptr<generation>;

/// Changes to one generation that become durable together.
class generation_batch {
public:
  generation_batch();
  ~generation_batch();
  generation_batch(const generation_batch&) = delete;
  generation_batch& operator=(const generation_batch&) = delete;
  /// Empties it, and keeps its memory for the next changes, unless these were unusually large.
  void clear();
  void put(std::uint64_t sequence, std::string_view encoded_entry);
  void remove(std::uint64_t sequence);
  void put_page(std::uint32_t number, std::string_view encoded);
  void remove_page(std::uint32_t number);
  void put_table(std::string_view encoded);
  /// Entries up to this number existed, also if their keys are gone after a truncation.
  void put_last_sequence(std::uint64_t sequence);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] leveldb::WriteBatch& level() { return *batch_; }

private:
  std::unique_ptr<leveldb::WriteBatch> batch_;
  std::uint64_t bytes_ = 0;
};

/// Keeps at most so many generations open; the one used longest ago is closed first.
class open_generations {
public:
  explicit open_generations(std::uint64_t most) : most_{most} {}
  [[nodiscard]] std::uint64_t now() { return ++clock_; }
  void opened(const generation_ptr& which);

private:
  std::atomic<std::uint64_t> clock_ = 0;
  std::uint64_t most_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<generation>> open_;
};

/// Any thread may read; writing belongs to the storage writer.
class generation : public std::enable_shared_from_this<generation> {
public:
  /// Begins an empty one. @errors `storage_failed`: also when something is there already
  [[nodiscard]] static result<generation_ptr> create(const level_context& levels,
                                                     open_generations& open,
                                                     const std::string& journal,
                                                     std::uint64_t number);
  /// One that exists; opened at once, so that damage is found now.
  [[nodiscard]] static result<generation_ptr> existing(const level_context& levels,
                                                       open_generations& open,
                                                       const std::string& journal,
                                                       std::uint64_t number);
  generation(const level_context& levels, open_generations& open, std::string path,
             std::uint64_t number);
  ~generation();

  [[nodiscard]] std::uint64_t number() const { return number_; }
  /// `generation 000007 of the journal (/var/lib/waybill/journal/000007)`.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::uint64_t last_used() const { return last_used_; }

  /// Writes and syncs. @errors `storage_failed`
  [[nodiscard]] result<void> write(generation_batch& batch);
  /// An entry's bytes. @errors `damaged`: missing or unreadable; `not_found`: the generation was
  /// destroyed, and what it held lies elsewhere or was dropped
  [[nodiscard]] result<std::string> entry_bytes(std::uint64_t sequence);
  [[nodiscard]] result<page> read_page(const page_summary& summary);
  /// Nothing: it is not sealed.
  [[nodiscard]] result<std::optional<table_of_contents>> read_table();
  [[nodiscard]] result<std::uint64_t> read_last_sequence();
  /// All entries in the order of their sequence numbers.
  [[nodiscard]] result<void>
  scan(const std::function<result<void>(std::uint64_t sequence, std::string_view bytes)>& visit);
  /// Closes it unless somebody reads it just now; the next reader opens it again.
  void close_if_idle();
  /// Waits for its readers, then removes it from the disk; whoever reads it later gets `not_found`.
  [[nodiscard]] result<void> destroy();

private:
  template <class F>
  auto with_database(F use) -> decltype(use(std::declval<leveldb::DB&>()));
  [[nodiscard]] result<void> open_existing();
  [[nodiscard]] result<std::optional<std::string>> value(std::string_view key);

  const level_context& levels_;
  open_generations& open_;
  const std::string path_;
  const std::uint64_t number_;
  std::atomic<std::uint64_t> last_used_ = 0;
  std::shared_mutex use_; ///< shared: reading and writing; alone: opening, closing, destroying
  std::unique_ptr<leveldb::DB> database_;
  bool destroyed_ = false;
};

/// `journal/000007`.
[[nodiscard]] std::string generation_path(const std::string& journal, std::uint64_t number);
/// The number of a directory's name; nothing when it is not a generation's.
[[nodiscard]] std::optional<std::uint64_t> generation_number(const std::string& name);
/// Removes what is left of a generation that nobody has open. @errors `storage_failed`
[[nodiscard]] result<void> destroy_generation(const level_context& levels, const std::string& path);

} // namespace waybill
