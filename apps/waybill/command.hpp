// What all commands share: the global options, the exit status, and how errors are told.
#pragma once

#include "apps/waybill/console.hpp"
#include "apps/waybill/duration.hpp"
#include "apps/waybill/json.hpp"
#include "apps/waybill/when.hpp"
#include "net/client/client.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>

namespace waybill::cli {

/// 0 only if everything that was asked for was done.
enum class status : int { done = 0, failed = 1, usage = 2, given_up = 3, alarmed = 4 };

/// Used wrongly in a way that the parser cannot see.
struct usage_error : std::runtime_error {
  using runtime_error::runtime_error;
};

struct context {
  std::string servers = "127.0.0.1:7411";
  bool json_wanted = false;
  std::optional<milliseconds> timeout; ///< of one call, looking for a node included
  console err{console::style::text};
  std::function<status()> run; ///< the chosen command, set by its callback

  /// @param usual the time-out of a call where none was asked for
  [[nodiscard]] client connect(milliseconds usual = client_options{}.call_timeout);
};

/// `{"error": {"code", "detail", "retry"}}` or a line for people, on standard error.
void report_error(context& c, std::string_view code, const std::string& detail, bool retry);
/// Prints the object with `--json`, the text for people without.
void answer(const context& c, const json& object, const std::string& text);
[[nodiscard]] json position_json(const log_position& at);

/// Checks of an option's value that say in words what is wanted, and what was given.
[[nodiscard]] CLI::Validator whole_number(std::uint64_t low, std::uint64_t high);
[[nodiscard]] CLI::Validator number(double low, double high);
/// Of a topic or a group.
[[nodiscard]] CLI::Validator name_of_something();
/// `waybill topic create`: the command as far as it was understood.
[[nodiscard]] const CLI::App& chosen_command(const CLI::App& app);
/// A sentence about wrong usage, and where the right one is told.
[[nodiscard]] std::string usage_text(const CLI::App& app, const std::string& what);
[[nodiscard]] std::string usage_text(const CLI::App& app, const CLI::ParseError& e);

/// An option whose value is a span of time; a wrong one is wrong usage. A bare number is seconds,
/// in every command.
CLI::Option* add_duration(CLI::App& app, const std::string& names,
                          std::optional<milliseconds>& target, const std::string& description);
/// Likewise, or a time.
CLI::Option* add_when(CLI::App& app, const std::string& names, std::optional<when>& target,
                      const std::string& description);
/// `--compress` or `--compress=LEVEL`: a flag, so that the word behind it is never taken for its
/// level. `level`: 0 as long as it is not given.
CLI::Option* add_compress(CLI::App& app, int& level);
/// As that was asked for.
void compress(producer_options& options, int level);
/// @throws client_error `unknown_group`: the topic has none of that name; `partition_offline`: a
/// partition that does not answer may know it
[[nodiscard]] group_info find_group(client& depot, const std::string& topic,
                                    const std::string& group);
/// Asks on the terminal. @throws usage_error when there is none to ask on
[[nodiscard]] bool confirmed_by_user(const std::string& question);

/// What the program is, in a line.
inline constexpr const char* summary =
    "Waybill: publish messages that are not lost, consume them, look after them.";
/// The global options and all that follows, on an empty `app`; `c` outlives it.
void add_all_commands(CLI::App& app, context& c);
// Each adds its commands to `app`.
void add_topic_commands(CLI::App& app, context& c);
void add_publish_command(CLI::App& app, context& c);
void add_consume_command(CLI::App& app, context& c);
void add_group_commands(CLI::App& app, context& c);
void add_dlq_commands(CLI::App& app, context& c);
void add_audit_command(CLI::App& app, context& c);
void add_verify_command(CLI::App& app, context& c);
void add_alarms_command(CLI::App& app, context& c);
void add_bench_commands(CLI::App& app, context& c);

} // namespace waybill::cli
