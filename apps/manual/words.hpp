// Words in a row.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace waybill::manual {

/// `words`, with `between` between each two of them.
[[nodiscard]] inline std::string joined(const std::vector<std::string>& words,
                                        std::string_view between) {
  std::string text;
  for (const auto& each : words) {
    if (&each != &words.front())
      text += between;
    text += each;
  }
  return text;
}

} // namespace waybill::manual
