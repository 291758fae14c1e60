// Spans of time as people write them: 500ms, 30s, 5m, 2h, 1.5s; a bare number is seconds,
// wherever it stands.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::cli {

using std::chrono::milliseconds;

/// Nothing when the text is no span, is negative, or is longer than 10,000 days.
[[nodiscard]] std::optional<milliseconds> parse_duration(std::string_view text);
/// The shortest exact form: `500ms`, `30s`, `5m`, `2h`.
[[nodiscard]] std::string to_string(milliseconds span);

} // namespace waybill::cli
