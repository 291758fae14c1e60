// The batch that dead letters become when they are sent back, or to another partition.
#pragma once

#include "storage/error.hpp"
#include "storage/records.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace waybill {

/// What the headers below add to a message, at the most.
inline constexpr std::size_t redrive_headers_bytes_max = 1'024;

/// Their messages in this order, with the headers `waybill-original-id` (the id that the message
/// had first), `waybill-redrives` (how often it was sent back) and `waybill-redriven-from` (its id
/// as this dead letter). The same letters give the same bytes. @errors `damaged`
[[nodiscard]] result<std::string> redriven_batch(const std::string& topic, std::uint32_t partition,
                                                 const std::vector<dead_letter>& letters);

} // namespace waybill
