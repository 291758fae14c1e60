// See command.hpp.
#include "apps/waybill/command.hpp"

#include "apps/waybill/output.hpp"

#include <array>
#include <cstdio>
#include <unistd.h>

namespace waybill::cli {

client context::connect(milliseconds usual) {
  client_options options;
  options.name = "waybill-cli";
  options.call_timeout = timeout.value_or(usual);
  options.log = [this](const std::string& text) { err.note(text); };
  return client{servers, std::move(options)};
}

void report_error(context& c, std::string_view code, const std::string& detail, bool retry) {
  if (!c.json_wanted) {
    c.err.note(detail);
    return;
  }
  std::string line = json_line({{"error", {{"code", code}, {"detail", detail}, {"retry", retry}}}});
  line.pop_back();
  c.err.line(line);
}

void answer(const context& c, const json& object, const std::string& text) {
  print(c.json_wanted ? json_line(object) : text);
}

json position_json(const log_position& at) {
  return {{"index", at.index.value}, {"epoch", at.written.value}, {"hash", to_string(at.hash)}};
}

CLI::Option* add_duration(CLI::App& app, const std::string& names,
                          std::optional<milliseconds>& target, const std::string& description,
                          bare_number) {
  const auto read = [&target, names](const std::string& text) {
    target = parse_duration(text);
    if (!target)
      throw CLI::ValidationError{
          names, "`" + text + "` is not a span of time such as 30 (seconds), 500ms or 5m"};
  };
  return app.add_option_function<std::string>(names, read, description)
      ->type_name("SECONDS|500ms|5m");
}

bool confirmed_by_user(const std::string& question) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1)
    throw usage_error{question + " There is no terminal to answer on: say --yes."};
  std::fprintf(stderr, "%s Type yes to go on: ", question.c_str());
  std::fflush(stderr);
  std::array<char, 64> reply{};
  if (std::fgets(reply.data(), reply.size(), stdin) == nullptr)
    return false;
  return std::string{reply.data()} == "yes\n";
}

} // namespace waybill::cli
