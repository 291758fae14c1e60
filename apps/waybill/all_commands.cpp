// The whole of `waybill` as the argument parser sees it: the global options, and every command. The
// manual pages and the shells' completion are written from the same.
#include "apps/waybill/command.hpp"

namespace waybill::cli {

namespace {

constexpr const char* exit_statuses =
    "A span of time is a number and its unit: 500ms, 30s, 5m, 2h, 1d; without a unit it is "
    "seconds.\n"
    "Exit status: 0 everything asked for was done; 1 failure (audit: the books do not balance,\n"
    "or were not all audited; verify: a receipt is not in the log); 2 wrong usage; 3 publish gave "
    "up on messages; 4 alarms stand (alarms).\n"
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

} // namespace

void add_all_commands(CLI::App& app, context& c) {
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
  add_alarms_command(app, c);
  add_bench_commands(app, c);
}

} // namespace waybill::cli
