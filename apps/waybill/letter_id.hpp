// Which dead letters a command speaks of.
#pragma once

#include "storage/types.hpp"

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace waybill::cli {

struct letter_id {
  std::uint32_t partition = 0;
  message_offset offset;
  friend auto operator<=>(const letter_id&, const letter_id&) = default;
};

/// `TOPIC/PARTITION/OFFSET` of this topic, or `PARTITION/OFFSET`. Nothing when it is neither.
[[nodiscard]] std::optional<letter_id> parse_letter_id(std::string_view text,
                                                       std::string_view topic);

} // namespace waybill::cli
