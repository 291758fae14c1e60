// JSON for `--json`: fields in the order in which they were written, one object a line.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace waybill::cli {

using json = nlohmann::ordered_json;

/// Compact, with its newline; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] inline std::string json_line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace waybill::cli
