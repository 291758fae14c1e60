// See batch_cutter.hpp.
#include "apps/waybill/batch_cutter.hpp"

#include "storage/assert.hpp"

#include <utility>

namespace waybill::cli {

std::vector<line_batch> batch_cutter::add(numbered_line line) {
  WAYBILL_ASSERT(line.number > 0);
  WAYBILL_ASSERT(open_.lines.empty() || open_.last() < line.number);
  std::vector<line_batch> complete;
  const auto close = [&] {
    if (auto taken = take())
      complete.push_back(std::move(*taken));
  };
  const auto bytes = line.body.size() + options_.line_overhead;
  const bool alone = goes_alone(line);
  if (alone || bytes_ + bytes > options_.batch_bytes_max)
    close();
  open_.block = taken_ / options_.block_lines;
  const bool block_ends = ++taken_ % options_.block_lines == 0;
  open_.alone = alone;
  open_.lines.push_back(std::move(line));
  bytes_ += bytes;
  if (alone || block_ends)
    close();
  return complete;
}

std::optional<line_batch> batch_cutter::take() {
  bytes_ = 0;
  if (open_.lines.empty())
    return std::nullopt;
  return std::exchange(open_, {});
}

void batch_cutter::pass_over(std::uint64_t lines) {
  WAYBILL_ASSERT(open_.lines.empty());
  taken_ += lines;
}

} // namespace waybill::cli
