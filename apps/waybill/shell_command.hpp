// A command of the user's, run by the shell once for each message: its input is a file in memory,
// so that one which does not read it holds nobody up; it has a process group of its own, so that
// Ctrl-C ends us cleanly and not the work.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace waybill::cli {

struct shell_command {
  std::string text;                                   ///< for `/bin/sh -c`
  std::optional<std::chrono::milliseconds> at_most{}; ///< then it is killed, children and all
};

using environment = std::vector<std::pair<std::string, std::string>>;

/// Runs it and waits. Its output is ours. Any thread; several at once.
/// @param more beside our own environment; a value with a NUL is cut there
/// @returns nothing after exit status 0, else why not, in words: `exit status 3`, `ended by signal
/// 9 (Killed)`, `took longer than 30s`, `cannot be run: …`
[[nodiscard]] std::optional<std::string> run(const shell_command& what, const std::string& input,
                                             const environment& more);

} // namespace waybill::cli
