// A random history over a store on a fault Env, and a model that knows what the store acknowledged
// and what was on its way when the power failed. `open_and_check` compares the two.
#pragma once

#include "storage/store.hpp"
#include "tests/support/fault_env.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace waybill::test {

/// So many random histories of those that are usual as WAYBILL_HISTORIES_PERCENT says; all of them
/// without it. Tests with sanitizers take fewer.
[[nodiscard]] std::uint64_t histories(std::uint64_t usual);

/// Small sizes, so that a short history seals, drops, empties and compacts.
[[nodiscard]] store_options small_store(fault_env& env);

/// A `messages` entry (without messages: a `delivery` entry) that goes on where a log ends.
[[nodiscard]] entry next_entry(const std::vector<entry>& log, partition_id partition, epoch written,
                               std::uint32_t messages, std::string body);

using letter_change = std::variant<dead_letter_put, dead_letter_removed>;
/// The dead letters of (partition, group), by offset.
using letters_held =
    std::map<std::pair<partition_id, std::string>, std::map<message_offset, dead_letter>>;

void apply_letter(letters_held& held, const letter_change& change);

enum class which : std::uint8_t { all, some };

class store_history {
public:
  store_history(fault_env& env, std::uint64_t seed);

  /// @returns whether it opened; when not, `refusal` says why
  bool open();
  void close() { store_.reset(); }
  /// One random call of the writer. @returns whether it was acknowledged
  bool step();
  /// The named calls, for tests that choose what happens.
  bool begin_copy(partition_id partition);
  bool write_some(std::size_t entries, std::size_t body_bytes_most);
  bool write_letters();
  bool write_checkpoint(which partitions);
  bool tidy_up();

  /// What is wrong with an opened store; nothing: all that was acknowledged is there, whole and in
  /// order, what was on its way is there or is not, and nothing else is. Takes what it found as the
  /// state from here on. Damage that the store names by itself begins with "damage: ".
  [[nodiscard]] std::optional<std::string> check();

  [[nodiscard]] store& target() { return *store_; }
  [[nodiscard]] bool is_open() const { return store_ != nullptr; }
  [[nodiscard]] const std::optional<failure>& refusal() const { return refusal_; }
  [[nodiscard]] const std::optional<failure>& last_error() const { return last_error_; }
  /// Whether a call of the writer's has failed, and so ended the store.
  [[nodiscard]] bool writer_failed() const { return writer_failed_; }
  [[nodiscard]] const std::vector<std::string>& said() const { return said_; }
  [[nodiscard]] std::uint64_t acknowledged_entries() const;
  /// The mark in the Env's trace behind each acknowledged entry, with the entry's bytes on disk.
  [[nodiscard]] const std::vector<std::pair<std::uint64_t, std::string>>& receipts() const {
    return receipts_;
  }
  void keep_receipts() { keep_receipts_ = true; }

private:
  struct partition_model {
    copy_id copy;
    std::vector<entry> log; ///< the i-th has index i + 1
    std::optional<checkpoint> newest;
    std::vector<bool>
        released; ///< by offset: a checkpoint, perhaps one on its way, needs it no more
  };
  /// What was asked and not acknowledged.
  struct on_its_way {
    std::map<partition_id, std::vector<entry>> written;
    std::map<partition_id, epoch> promises;
    std::map<std::string, std::string> records;
    std::map<partition_id, checkpoint> checkpoints;
    struct truncation {
      partition_id partition;
      std::uint64_t keep;
      std::vector<entry> replacement;
    };
    std::optional<truncation> truncated;
    std::optional<partition_id> begun;
    std::optional<partition_id> ended;
  };

  [[nodiscard]] std::uint64_t draw(std::uint64_t most);
  [[nodiscard]] std::string some_bytes(std::size_t bytes);
  [[nodiscard]] std::optional<partition_id> some_partition();
  [[nodiscard]] checkpoint next_checkpoint(partition_model& model);
  void acknowledged(partition_id id, const std::vector<entry>& entries);
  bool take(const result<void>& outcome);
  enum class caller : std::uint8_t { writer, reader };
  void fail(const failure& why, caller who);
  bool write_random();
  bool truncate_some();
  bool end_some();
  bool read_some();

  using verdict = std::optional<std::string>; ///< what is wrong
  [[nodiscard]] verdict check_copies(const on_its_way& asked);
  [[nodiscard]] verdict check_promise(partition_id id, const recovered_partition& found,
                                      const on_its_way& asked);
  [[nodiscard]] verdict check_end(partition_id id, partition_model& model,
                                  const recovered_partition& found, const on_its_way& asked,
                                  std::optional<bool>& new_ones);
  [[nodiscard]] verdict check_checkpoint(partition_id id, partition_model& model,
                                         const recovered_partition& found,
                                         const on_its_way& asked) const;
  [[nodiscard]] verdict check_contents(partition_id id, const partition_model& model) const;
  [[nodiscard]] verdict check_gone(partition_id id, const partition_model& model,
                                   const std::vector<bool>& there) const;
  [[nodiscard]] verdict check_by_offset(partition_id id, const partition_model& model,
                                        const std::vector<bool>& there) const;
  [[nodiscard]] verdict check_records(const on_its_way& asked);
  [[nodiscard]] verdict check_letters();
  void forget(partition_id partition);

  fault_env& env_;
  std::mt19937_64 random_;
  store_options options_;
  std::unique_ptr<store> store_;
  std::optional<failure> refusal_;
  std::optional<failure> last_error_;
  bool writer_failed_ = false;
  std::vector<std::string> said_;
  std::map<partition_id, partition_model> partitions_;
  std::map<partition_id, epoch> promised_; ///< outlives a copy
  std::map<std::string, std::string> records_;
  letters_held letters_;               ///< as the newest acknowledged checkpoint made durable
  std::vector<letter_change> changes_; ///< since then, in order
  on_its_way pending_;
  std::uint64_t copies_ = 0;
  epoch now_{1};
  std::vector<std::pair<std::uint64_t, std::string>> receipts_;
  bool keep_receipts_ = false;
};

} // namespace waybill::test
