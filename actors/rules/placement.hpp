// Where an extension serves, as a configuration says it: `orders=checker, billing.*=auditor`. Pure.
#pragma once

#include "storage/error.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace waybill {

/// One extension and what it is for.
struct placement {
  std::string pattern; ///< a topic, or `TOPIC/GROUP`; `*` stands for any letters
  std::string extension;
  friend bool operator==(const placement&, const placement&) = default;
};

/// What a pattern names.
enum class placed_at : std::uint8_t { topic, group };

/// `PATTERN=NAME` with commas between. Blanks around each are allowed; an empty text is no
/// placement.
/// @errors `bad_argument`: which piece is wrong, and how one is written
[[nodiscard]] result<std::vector<placement>> parse_placements(std::string_view text, placed_at at);
/// Names with commas between. @errors `bad_argument`
[[nodiscard]] result<std::vector<std::string>> parse_names(std::string_view text);
/// Whether the pattern stands for this name.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) noexcept;

} // namespace waybill
