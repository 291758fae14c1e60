// From the contract's values to ours. Nothing that a peer sends is believed: codes out of range,
// texts of any length, lists of any size become values within bounds, or a failure.
#pragma once

#include "net/client/client.hpp"
#include "net/waybill.capnp.h"

#include <kj/exception.h>

#include <string>
#include <vector>

namespace waybill::client_parts {

inline constexpr std::size_t text_bytes_max = 4'096; ///< of what is kept of a peer's text

struct wire_failure {
  failure why;
  bool retry = false; ///< the node's word, or the code's where it says nothing
};

[[nodiscard]] wire_failure to_failure(wire::Error::Reader error);
/// An exception of a call: the connection's or the peer's fault.
[[nodiscard]] failure to_failure(const kj::Exception& e);
[[nodiscard]] bool is_disconnect(const kj::Exception& e);
[[nodiscard]] std::string to_text(capnp::Text::Reader text);
[[nodiscard]] log_position to_position(wire::Position::Reader position);
[[nodiscard]] wall_time to_time(std::int64_t ms);
[[nodiscard]] offset_range to_range(wire::Range::Reader range);
void write_ranges(capnp::List<wire::Range>::Builder to, const std::vector<offset_range>& from);
/// Sorted, with overlapping and adjacent ones made one.
void merge_ranges(std::vector<offset_range>& ranges);

} // namespace waybill::client_parts
