// Numbers events, and reads LevelDB's logs as they become durable.
// The log's format: blocks of 32 KiB; fragments of 7 bytes of header (checksum 4, length 2, type 1)
// and payload; types 1 whole, 2 first, 3 middle, 4 last; what is too small for a header at a
// block's end is padding.
#include "tests/support/fault_trace.hpp"

#include <algorithm>

namespace waybill::test {

namespace {
constexpr std::uint64_t block_bytes = 32'768;
constexpr std::uint64_t header_bytes = 7;
constexpr unsigned whole_fragment = 1;
constexpr unsigned last_fragment = 4;
} // namespace

void synced_log::on_sync(std::uint64_t number, std::string_view data) {
  for (;;) {
    const auto left_in_block = block_bytes - parsed_ % block_bytes;
    if (left_in_block < header_bytes) {
      parsed_ += left_in_block;
      continue;
    }
    if (parsed_ + header_bytes > data.size())
      return;
    const auto byte = [&](std::uint64_t at) {
      return static_cast<unsigned>(static_cast<unsigned char>(data[parsed_ + at]));
    };
    const auto length = byte(4) | (byte(5) << 8U);
    const auto type = byte(6);
    if (parsed_ + header_bytes + length > data.size())
      return;
    fragment_.append(data.substr(parsed_ + header_bytes, length));
    parsed_ += header_bytes + length;
    if (type != whole_fragment && type != last_fragment)
      continue;
    text_ += fragment_;
    fragment_.clear();
    records_.push_back({text_.size(), number});
  }
}

std::optional<std::uint64_t> synced_log::first_durable(std::string_view pattern) const {
  const auto found = text_.find(pattern);
  if (found == std::string::npos)
    return std::nullopt;
  return std::ranges::lower_bound(records_, found + pattern.size(), {}, &record::end)->number;
}

std::uint64_t fault_trace::add(event_kind kind, const std::string& file, std::uint64_t offset,
                               std::uint64_t bytes, const std::string& target) {
  events_.push_back({++last_, kind, file, offset, bytes, target});
  if (events_.size() > options_.events_max)
    events_.pop_front();
  return last_;
}

std::uint64_t fault_trace::add_sync(const std::string& path, const file_ptr& file) {
  const auto number = add(event_kind::sync, path, file->data.size());
  if (options_.keep_log_contents && kind_of(path) == file_kind::log)
    logs_[file].on_sync(number, file->data);
  return number;
}

std::optional<std::uint64_t> fault_trace::first_durable(std::string_view pattern) const {
  std::optional<std::uint64_t> first;
  for (const auto& [file, log] : logs_)
    if (const auto number = log.first_durable(pattern); number && (!first || *number < *first))
      first = number;
  return first;
}

} // namespace waybill::test
