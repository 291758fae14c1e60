// Cuts the lines of a resumable publish into batches by a rule that knows no time, so that the same
// input gives the same batches again: a block of so many of the lines that it is given belongs to
// one partition; within it a batch ends at so many bytes; a large line travels alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace waybill::cli {

struct numbered_line {
  std::uint64_t number = 0; ///< 1: the first of the input
  std::string body;
  bool newline = true; ///< it ended with one
};

struct line_batch {
  std::uint64_t block = 0;
  std::vector<numbered_line> lines; ///< at least one
  bool alone = false;               ///< one line, too large for company
  [[nodiscard]] std::uint64_t last() const { return lines.back().number; }
};

class batch_cutter {
public:
  struct options {
    std::uint64_t block_lines = 1'000;
    std::size_t batch_bytes_max = 256 * 1024;
    std::size_t alone_bytes = 64 * 1024; ///< a longer line travels alone
    std::size_t line_overhead = 64;      ///< of key, headers and framing, added to each line
  };
  explicit batch_cutter(options o) : options_{o} {}
  /// Takes the next line. @returns the batches that are complete now, in order
  /// @pre numbers ascend
  [[nodiscard]] std::vector<line_batch> add(numbered_line line);
  /// What waits for more lines.
  [[nodiscard]] std::optional<line_batch> take();
  [[nodiscard]] bool holds_lines() const { return !open_.lines.empty(); }
  [[nodiscard]] bool goes_alone(const numbered_line& line) const {
    return line.body.size() > options_.alone_bytes;
  }
  /// So many lines were made a batch elsewhere. @pre nothing waits
  void pass_over(std::uint64_t lines);

private:
  options options_;
  line_batch open_;
  std::size_t bytes_ = 0;
  std::uint64_t taken_ = 0; ///< lines so far
};

} // namespace waybill::cli
