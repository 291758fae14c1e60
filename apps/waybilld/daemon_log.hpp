// Where the daemon's lines for people go: standard error, in the form that its reader expects.
#pragma once

#include "apps/node/node.hpp"

#include <string>

namespace waybill {

/// @param level the least severe that is written: a name that spdlog knows
void begin_log(const std::string& level);
/// Any thread.
void write_log(log_level level, const std::string& line);

} // namespace waybill
