// The flags of a node: `--group.key=value`, `--config-file=F`, `--help`, `--version`,
// `--dump-config`.
#pragma once

#include "config/config_file.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace waybill {

/// What somebody who starts a node wants of it.
enum class wanted_action : std::uint8_t { run, help, version, dump_config };

struct command_line {
  wanted_action wants = wanted_action::run;
  std::optional<std::string> config_file;
  std::vector<assignment> flags;
};

/// @param arguments without the program's name
/// @errors `bad_argument`: something that is no flag, or a flag without its value. Whether a key
///   exists and takes its value is not known here. `--help` and `--version` win over any mistake.
[[nodiscard]] result<command_line> parse_command_line(std::span<const std::string> arguments);

} // namespace waybill
