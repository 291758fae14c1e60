// The small format of configuration files: `[group]`, `key = value`, `;` comments. It is the part
// of CAF's own format that a node needs, read by us, for CAF's reader takes unknown keys and values
// of a wrong type in silence.
#pragma once

#include "config/options.hpp"
#include "storage/error.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace waybill {

/// One key that somebody set, not yet checked against the table of keys.
struct assignment {
  std::string key; ///< with its group: `net.listen`
  written_value value;
  std::string place; ///< for people: `waybilld.ini:12`, or the flag
};

/// A larger file is no configuration.
inline constexpr std::uint64_t config_file_bytes_max = 1u << 20;

/// Reads a file. Values: texts with or without quotes, whole numbers, numbers, true and false,
/// spans of time; a comment begins with `;` anywhere outside of quotes.
/// @errors `not_found`: there is no such file; `bad_argument`: it cannot be read, or a line is
/// wrong
[[nodiscard]] result<std::vector<assignment>> read_config_file(const std::filesystem::path& file);
/// The same from memory; `name` stands for the file in places.
/// @errors `bad_argument`
[[nodiscard]] result<std::vector<assignment>> parse_config_text(std::string_view text,
                                                                std::string_view name);

} // namespace waybill
