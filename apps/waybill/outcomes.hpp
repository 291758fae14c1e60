// What became of each line of a publish: counted, and written in the order of the input to the file
// of receipts and to the file of lines given up on, as soon as no line before is still open.
#pragma once

#include "apps/waybill/in_order.hpp"
#include "apps/waybill/output.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace waybill::cli {

enum class fate : std::uint8_t {
  confirmed, ///< by this run
  earlier,   ///< by an earlier run of the same command
  recorded,  ///< by an earlier run, and its receipt is in the file already
  given_up
};
struct outcome {
  fate what = fate::confirmed;
  /// The receipt, or none (`earlier` only); given up: the error's code.
  std::string text;
  std::string body; ///< given up: the line, for the file of those
  bool newline = true;
};

/// A line of the receipts file in place of a receipt that cannot be had any more.
inline constexpr std::string_view earlier_mark = "confirmed-earlier";
/// Begins the line of the receipts file for a line that was given up on; the error's code follows.
inline constexpr std::string_view given_up_mark = "unconfirmed ";

/// What an outcome adds to the receipts file, its newline included.
[[nodiscard]] std::string receipts_line(const outcome& o);

/// May be used from any thread; `settle` never blocks on a file, a thread of its own writes.
class outcome_log {
public:
  struct files {
    std::string receipts; ///< empty: none
    output_file::opening receipts_opening = output_file::opening::anew;
    std::string unconfirmed; ///< empty: none
  };
  struct totals {
    std::uint64_t confirmed = 0, earlier = 0, given_up = 0;
    std::uint64_t receipts_missing = 0; ///< of `earlier`, when receipts were asked for
  };
  /// @throws output_error
  explicit outcome_log(files f);
  ~outcome_log();
  outcome_log(const outcome_log&) = delete;
  outcome_log& operator=(const outcome_log&) = delete;

  [[nodiscard]] bool wants_receipts() const noexcept { return receipts_.has_value(); }
  [[nodiscard]] bool wants_bodies() const noexcept { return unconfirmed_.has_value(); }
  /// Before a line is sent; numbers are consecutive from 1. Blocks while too many are open.
  void begin(std::uint64_t number);
  void settle(std::uint64_t number, outcome o);
  /// Returns when all that began is settled and written.
  void wait_all();
  /// A part of a line given up on that is too long to be held. Only after `wait_all`.
  void write_unconfirmed(std::string_view bytes);
  [[nodiscard]] totals so_far() const;
  /// Why a file could not be written; then nothing more is written to either.
  [[nodiscard]] std::optional<std::string> failure() const;

private:
  void run();
  void write(const std::vector<outcome>& some);
  void count(const outcome& o);

  std::optional<output_file> receipts_, unconfirmed_;
  mutable std::mutex mutex_;
  std::condition_variable to_write_, written_;
  in_order<outcome> waiting_{1};
  std::uint64_t begun_ = 0;
  std::uint64_t done_ = 0; // written up to this number
  totals totals_;
  std::optional<std::string> failure_;
  bool end_ = false;
  std::thread writer_;
};

} // namespace waybill::cli
