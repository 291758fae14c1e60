// What `waybill consume` was asked for; and its second way, a command of the user's for each
// message.
#pragma once

#include "apps/waybill/command.hpp"

#include <optional>
#include <string>

namespace waybill::cli {

struct consume_settings {
  std::string topic, group, format, ids, name;
  std::optional<std::uint64_t> max;
  std::optional<milliseconds> idle_exit;
  bool no_ack = false;
  std::optional<std::uint32_t> credit;
  std::string exec; ///< empty: messages are written out
  std::optional<milliseconds> exec_timeout;
  std::uint32_t jobs = 1;
  [[nodiscard]] bool as_json(const context& c) const {
    return format == "json" || (format.empty() && exec.empty() && c.json_wanted);
  }
};

/// Runs the command for each message, `jobs` at once: exit status 0 acknowledges, anything else is
/// a nack with the status as its reason.
[[nodiscard]] status consume_by_command(context& c, const consume_settings& s);

} // namespace waybill::cli
