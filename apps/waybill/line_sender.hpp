// Two ways to send the lines of a publish: as they come, or numbered so that the same command, run
// again after a crash, goes on where it stopped.
#pragma once

#include "apps/waybill/batch_cutter.hpp"
#include "apps/waybill/outcomes.hpp"
#include "net/client/client.hpp"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace waybill::cli {

/// What ends a publish before its input: more of the same cannot succeed.
struct send_stop {
  ec code = ec::internal;
  std::string detail;
};

/// Lines given up on for one kind of reason.
struct given_up_lines {
  failure why;            ///< of the first one told
  std::uint64_t line = 0; ///< which that is
  std::uint64_t count = 0;
};

/// What the library's threads and the reading thread share; outlives the producer.
class send_state {
public:
  explicit send_state(outcome_log::files files) : log{std::move(files)} {}
  outcome_log log;

  /// The first one stays.
  void stop(send_stop why);
  [[nodiscard]] std::optional<send_stop> stopped() const;
  void give_up(numbered_line line, const failure& why);
  [[nodiscard]] std::vector<given_up_lines> failures() const;

private:
  mutable std::mutex mutex_;
  std::optional<send_stop> stop_;
  std::map<ec, given_up_lines> failures_;
};

/// What each message carries besides its line.
struct envelope {
  std::string key;
  std::uint32_t key_field = 0; ///< 0: `key`; else the key is this field of the line, from 1 on
  char separator = '\t';
  headers extra;
  /// Empty: the line has no such field, or nothing in it.
  [[nodiscard]] std::string_view key_of(std::string_view line) const;
};

class line_sender {
public:
  virtual ~line_sender() = default;
  /// After `outcome_log::begin` of its number. Blocks for room.
  virtual void send(numbered_line line) = 0;
  /// The input is silent: what waits for company leaves now.
  virtual void idle() = 0;
  /// Sends what is left; returns when every line is settled. More may follow.
  virtual void finish() = 0;
};

/// The library batches, numbers and chooses partitions.
class plain_sender final : public line_sender {
public:
  plain_sender(producer p, envelope e, std::shared_ptr<send_state> state);
  void send(numbered_line line) override;
  void idle() override {}
  void finish() override { producer_.flush(); }

private:
  producer producer_;
  envelope envelope_;
  std::shared_ptr<send_state> state_;
};

/// Batches are numbered by their last line. Lines are dealt to partitions in blocks, by line number
/// alone, or each by its own key; and a partition has one batch under way: so what the node has of
/// a partition is all of its lines up to the last number, without a gap, and a later run knows
/// exactly what is missing.
class numbered_sender final : public line_sender {
public:
  /// `recorded`: how many lines have their receipt from an earlier run.
  /// @throws client_error `bad_argument` when the node does not know those lines
  numbered_sender(producer p, envelope e, std::shared_ptr<send_state> state,
                  std::uint64_t recorded);
  void send(numbered_line line) override;
  void idle() override;
  void finish() override;

private:
  struct lanes; // which partitions have a batch under way
  [[nodiscard]] std::uint32_t partition_of(const numbered_line& line) const;
  [[nodiscard]] batch_cutter& cutter_of(std::uint32_t partition);
  void submit(std::uint32_t partition, line_batch batch);
  void settle_earlier(const line_batch& batch, fate how);

  producer producer_;
  envelope envelope_;
  std::shared_ptr<send_state> state_;
  std::uint64_t recorded_;
  std::uint32_t partitions_;
  std::vector<batch_number> last_;    // per partition, what the node had at the start
  std::vector<batch_cutter> cutters_; // one, or one per partition when each line has its own key
  std::uint32_t open_ = 0;            // the partition of what waits in the only one
  std::shared_ptr<lanes> lanes_;
};

} // namespace waybill::cli
