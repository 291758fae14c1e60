// A store in a temporary directory, small enough to see every step, and logs to put into it.
#pragma once

#include "storage/store.hpp"
#include "tests/support/fault_env.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace waybill::test {

template <class T>
T must(result<T> outcome) {
  INFO((outcome ? std::string{} : outcome.error().detail));
  REQUIRE(outcome);
  return std::move(*outcome);
}
inline void must(const result<void>& outcome) {
  INFO((outcome ? std::string{} : outcome.error().detail));
  REQUIRE(outcome);
}

/// A directory that goes with its test.
class temporary_directory {
public:
  temporary_directory();
  ~temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

/// Makes the entries of one partition's log, each linked to the one before.
class log_maker {
public:
  explicit log_maker(partition_id partition) : partition_{partition} {}
  /// The next entry, with so many messages and bytes; without messages it is of kind `delivery`.
  entry next(std::uint32_t messages = 1, std::size_t bytes = 100);
  std::vector<entry> next_many(std::size_t count, std::uint32_t messages = 1,
                               std::size_t bytes = 100);
  /// Goes on after an entry that was made before, in the next epoch.
  void go_back_to(log_index index);
  [[nodiscard]] const std::vector<entry>& all() const { return all_; }
  [[nodiscard]] const entry& at(std::uint64_t index) const { return all_.at(index - 1); }
  [[nodiscard]] log_position last() const;
  [[nodiscard]] message_offset next_offset() const;
  [[nodiscard]] partition_id partition() const { return partition_; }

private:
  partition_id partition_;
  epoch written_{1};
  std::vector<entry> all_;
};

enum class medium : std::uint8_t { memory, disk };

/// Opens, closes and opens again; in memory, unless a test wants to see the files themselves.
class store_fixture {
public:
  explicit store_fixture(medium where = medium::memory);
  void open();
  result<std::unique_ptr<store>> try_open();
  void close() { store_.reset(); }
  void reopen() {
    close();
    open();
  }
  store& operator*() { return *store_; }
  store* operator->() { return store_.get(); }
  /// Begins a copy and answers the maker of its log.
  log_maker begin(std::uint64_t topic, std::uint32_t number = 0);
  void write(std::vector<entry> entries);
  /// A checkpoint at the log's end, with these offsets still needed.
  void checkpoint_at_end(const log_maker& log, std::vector<offset_range> needed = {});
  /// Tidies until there is nothing more to do. @returns the steps
  std::size_t tidy_all();
  /// All entries that `read` gives, in pieces of about so many bytes.
  std::vector<entry> read_all(partition_id partition, std::size_t piece = 1000);
  [[nodiscard]] std::filesystem::path generation(std::uint64_t number) const;
  /// Bytes of all files of a store in memory.
  [[nodiscard]] std::uint64_t disk_bytes() const;

  temporary_directory directory;
  fault_env env; ///< of a store in memory
  store_options options;
  std::vector<std::string> said;

private:
  std::unique_ptr<store> store_;
};

/// The same entries, one by one.
void check_equal(const std::vector<entry>& found, const std::vector<entry>& expected);

} // namespace waybill::test
