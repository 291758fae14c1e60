// The checks on what peers send, in one place.
#include "net/client/wire_values.hpp"

#include <algorithm>

namespace waybill::client_parts {
namespace {

ec to_code(wire::ErrorCode code) {
  const auto number = static_cast<std::uint16_t>(code);
  if (number == 0 || number > static_cast<std::uint16_t>(ec::in_doubt))
    return ec::internal; // a newer node's code, or nonsense: the detail has to do
  return static_cast<ec>(number);
}

} // namespace

wire_failure to_failure(wire::Error::Reader error) {
  const auto code = to_code(error.getCode());
  auto detail = to_text(error.getDetail());
  if (detail.empty())
    detail = "the node answered '" + std::string{to_string(code)} + "' without a word";
  return {{code, std::move(detail)}, error.getRetry()};
}

failure to_failure(const kj::Exception& e) {
  const std::string text{e.getDescription().cStr()};
  if (is_disconnect(e))
    return {ec::unreachable, "the connection was lost: " + text};
  return {ec::internal, "the node failed in this call: " + text};
}

bool is_disconnect(const kj::Exception& e) {
  return e.getType() == kj::Exception::Type::DISCONNECTED;
}

std::string to_text(capnp::Text::Reader text) {
  return {text.begin(), std::min(text.size(), text_bytes_max)};
}

log_position to_position(wire::Position::Reader position) {
  return {log_index{position.getIndex()},
          epoch{position.getEpoch()},
          {position.getHashHigh(), position.getHashLow()}};
}

wall_time to_time(std::int64_t ms) { return wall_time{milliseconds{ms}}; }

offset_range to_range(wire::Range::Reader range) {
  return {message_offset{range.getFirst()},
          message_offset{std::max(range.getFirst(), range.getEnd())}};
}

void write_ranges(capnp::List<wire::Range>::Builder to, const std::vector<offset_range>& from) {
  for (unsigned i = 0; i < to.size(); ++i) {
    to[i].setFirst(from[i].first.value);
    to[i].setEnd(from[i].end.value);
  }
}

void merge_ranges(std::vector<offset_range>& ranges) {
  if (ranges.size() < 2)
    return;
  std::ranges::sort(ranges);
  std::size_t last = 0;
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first <= ranges[last].end)
      ranges[last].end = std::max(ranges[last].end, ranges[i].end);
    else
      ranges[++last] = ranges[i];
  }
  ranges.resize(last + 1);
}

} // namespace waybill::client_parts
