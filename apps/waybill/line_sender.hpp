// Two ways to send the lines of a publish: as they come, or numbered so that the same command, run
// again after a crash, goes on where it stopped.
#pragma once

#include "apps/waybill/batch_cutter.hpp"
#include "apps/waybill/outcomes.hpp"
#include "apps/waybill/when.hpp"
#include "net/client/client.hpp"

#include <chrono>
#include <deque>
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
  std::optional<when> deliver_at, expires; ///< spans stay spans, so that a repeat is alike
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
  /// The input has ended, after `finish`.
  virtual void ended() {}
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
/// exactly what is missing. The batch that the node took last from each partition is sent once
/// more, so that another input under the same name is noticed: its bytes differ.
class numbered_sender final : public line_sender {
public:
  /// `recorded`: how many lines have their receipt from an earlier run.
  /// @throws client_error `bad_argument` when the node does not know those lines
  numbered_sender(producer p, envelope e, std::shared_ptr<send_state> state,
                  std::uint64_t recorded);
  void send(numbered_line line) override;
  void idle() override;
  void finish() override;
  void ended() override;

private:
  using clock = std::chrono::steady_clock;
  enum class reason { is_next, is_compared };
  struct under_way;
  struct lane {
    explicit lane(batch_cutter::options o) : cutter{o} {}
    std::uint64_t last = 0;          ///< number that the node had at the start
    std::uint32_t last_messages = 0; ///< of that batch; 0: not known
    bool is_known = true;            ///< false: out of service, and sends to it fail
    std::deque<numbered_line> tail;  ///< lines that may be in that batch
    batch_cutter cutter;
    std::optional<clock::time_point> waits_since; ///< what the cutter holds
  };
  [[nodiscard]] std::uint32_t partition_of(const numbered_line& line);
  void send_known(std::uint32_t partition, numbered_line line);
  void cut(std::uint32_t partition, numbered_line line);
  void send_what_waits(std::uint32_t partition);
  void release_tail(std::uint32_t partition, std::size_t but);
  [[nodiscard]] bool must_be_sent(std::uint32_t partition, const line_batch& batch);
  void submit(std::uint32_t partition, line_batch batch, reason why);
  void settle_earlier(const line_batch& batch, fate how);

  producer producer_;
  envelope envelope_;
  std::shared_ptr<send_state> state_;
  std::uint64_t recorded_;
  std::uint64_t lines_without_key_ = 0;
  std::uint64_t last_line_ = 0;
  std::vector<lane> lanes_; // by partition
  std::shared_ptr<under_way> under_way_;
};

} // namespace waybill::cli
