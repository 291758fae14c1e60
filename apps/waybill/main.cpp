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
  CLI::App app{summary, "waybill"};
  add_all_commands(app, c);
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
