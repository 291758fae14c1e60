// `waybill`: the command line. Reads the arguments, runs one command, turns errors into words and
// an exit status.
#include "apps/waybill/command.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"

#include <algorithm>
#include <iostream>
#include <string_view>

namespace {

using namespace waybill::cli;

constexpr const char* exit_statuses =
    "A span of time is a number and its unit: 500ms, 30s, 5m, 2h, 1d; without a unit it is "
    "seconds.\n"
    "Exit status: 0 everything asked for was done; 1 failure (audit: the books do not balance,\n"
    "or were not all audited; verify: a receipt is not in the log); 2 wrong usage; 3 publish gave "
    "up on messages.\n"
    "Example: waybill topic create orders --partitions 4";

void add_global_options(CLI::App& app, context& c) {
  app.add_option("--server", c.servers,
                 "Where the nodes are: HOST:PORT, several with commas between")
      ->envname("WAYBILL_SERVERS")
      ->capture_default_str();
  add_duration(app, "--timeout", c.timeout,
               "How long to look for a node and to wait for an answer (30s; audit: 11m)");
  app.add_flag("--json", c.json_wanted,
               "JSON instead of text: one object for an answer, one a line for a stream; errors on "
               "standard error as {\"error\":{\"code\",\"detail\",\"retry\"}}");
}

status run_command(context& c, const CLI::App& app) {
  try {
    return c.run();
  } catch (const waybill::client_error& e) {
    report_error(c, to_string(e.code()), e.what(), waybill::retry_can_help(e.code()));
    return e.code() == waybill::ec::bad_name ? status::usage : status::failed;
  } catch (const usage_error& e) {
    report_error(c, "usage", usage_text(app, e.what()), false);
    return status::usage;
  } catch (const output_error& e) {
    report_error(c, "output_failed", e.what(), false);
    return status::failed;
  } catch (const std::exception& e) {
    report_error(c, "internal", e.what(), false);
    return status::failed;
  }
}

bool json_in(int argc, char** argv) {
  return std::any_of(argv + 1, argv + argc,
                     [](const char* a) { return std::string_view{a} == "--json"; });
}

} // namespace

int main(int argc, char** argv) {
  stop_signal::install();
  context c;
  CLI::App app{"Waybill: publish messages that are not lost, consume them, look after them.",
               "waybill"};
  app.footer(exit_statuses);
  app.fallthrough(); // --server and --json may stand anywhere
  app.require_subcommand(1);
  add_global_options(app, c);
  add_topic_commands(app, c);
  add_publish_command(app, c);
  add_consume_command(app, c);
  add_group_commands(app, c);
  add_dlq_commands(app, c);
  add_audit_command(app, c);
  add_verify_command(app, c);
  add_bench_commands(app, c);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
      return app.exit(e); // --help
    c.json_wanted = json_in(argc, argv);
    report_error(c, "usage", usage_text(app, e), false);
    return static_cast<int>(status::usage);
  }
  if (c.json_wanted)
    c.err.set_style(console::style::json);
  return static_cast<int>(run_command(c, app));
}
