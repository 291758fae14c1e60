// A node with a group that has dead letters, and topics that they may go to; what its store holds
// between two lives, for tests of redrives to other topics and partitions.
#pragma once

#include "net/client/client.hpp"
#include "tests/node/hosted_node.hpp"

#include "storage/records_codec.hpp"
#include "storage/store.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace waybill::test {

/// How far a transfer came, as the store tells it.
enum class progress_seen : std::uint8_t { nothing, begun, arrived, done };

class transfer_house {
public:
  /// `flags` for the node.
  explicit transfer_house(std::vector<std::string> flags = {});
  ~transfer_house();

  /// `orders` with as many partitions, `bills` with two, and the group `billing` of `orders`.
  void begin(std::uint32_t partitions = 1);
  /// So many messages, by key or all to one partition, and each a dead letter of `billing`.
  void bury(std::size_t many);
  [[nodiscard]] client& admin() { return *admin_; }
  [[nodiscard]] std::vector<dead_letter_info> letters(std::uint32_t partition = 0);
  [[nodiscard]] std::vector<message_offset> offsets(std::uint32_t partition = 0);
  /// How many dead letters are said to be so.
  [[nodiscard]] std::size_t count(const std::string& transfer, std::uint32_t partition = 0);
  /// All that are left go to `to`, again and again until none is.
  void transfer_all(const std::string& to, std::optional<std::uint32_t> partition);
  /// The ids that the messages in `topic` say they were redriven from, by a group of its own.
  [[nodiscard]] std::vector<std::string> arrived(const std::string& topic);
  /// Each dead letter's message is in `topic` once, none is a dead letter any more, the books
  /// balance.
  void expect_all_once(const std::string& topic, std::size_t many);
  void expect_books(const std::string& topic);

  // ---- Between two lives
  /// All dead letters are sent to `bills/1`, and the power fails at the operation after
  /// `operations` more. The call goes on when the node runs again within `call_timeout`. @returns
  /// whether it failed before the call had its answer
  bool cut_during_transfer(std::uint64_t operations, std::uint64_t seed, milliseconds call_timeout);
  /// @pre the node does not run
  [[nodiscard]] std::unique_ptr<store> open_store();
  [[nodiscard]] std::vector<entry> log_of(const store& from, const partition_id& partition);
  [[nodiscard]] progress_seen progress();
  /// Lets the log of `bills`' partition 1 say that an opening of another producer was committed.
  void let_target_forget();
  /// Whether the record says that more was committed than the partition's copy has.
  void set_out_of_service(bool whether);
  void start();

  fault_env env;
  hosted_node node;
  partition_id source, target; ///< `orders/0`, `bills/1`

private:
  std::optional<client> admin_;
  std::jthread caller_; ///< its call outlives the node
};

/// One whose power has failed with a transfer of so many letters to `bills/1` as far as that.
[[nodiscard]] std::unique_ptr<transfer_house> cut_at(progress_seen wanted, std::size_t letters,
                                                     const std::vector<std::string>& flags = {});

} // namespace waybill::test
