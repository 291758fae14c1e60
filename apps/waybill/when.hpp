// Points in time as people write them: `2026-01-31T12:00:00Z`, `2026-01-31 12:00`, `2026-01-31`,
// each with `Z` or an offset as `+01:00`; without one it is local time. Or a span: `10m`, from now
// on.
#pragma once

#include "storage/types.hpp"

#include <chrono>
#include <optional>
#include <string_view>
#include <variant>

namespace waybill::cli {

/// A time, or a span whose beginning the one who gets it knows.
using when = std::variant<wall_time, std::chrono::milliseconds>;

/// Nothing when the text is no time between 1970 and 9999.
[[nodiscard]] std::optional<wall_time> parse_time(std::string_view text);
/// A span (see duration.hpp) or a time.
[[nodiscard]] std::optional<when> parse_when(std::string_view text);

} // namespace waybill::cli
