// See command.hpp.
#include "apps/waybill/command.hpp"

#include "apps/waybill/output.hpp"
#include "apps/waybill/text.hpp"
#include "storage/compression.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <unistd.h>

namespace waybill::cli {

client context::connect(milliseconds usual) {
  client_options options;
  options.name = "waybill-cli";
  options.call_timeout = timeout.value_or(usual);
  options.log = [this](const std::string& text) { err.note(text); };
  try {
    return client{servers, std::move(options)};
  } catch (const client_error& e) {
    if (e.code() == ec::bad_argument)
      throw usage_error{"--server: " + std::string{e.what()}};
    throw;
  }
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
                          std::optional<milliseconds>& target, const std::string& description) {
  const auto read = [&target, names](const std::string& text) {
    target = parse_duration(text);
    if (!target)
      throw CLI::ValidationError{
          names, "`" + text + "` is not a span of time such as 30 (seconds), 500ms or 5m"};
  };
  return app.add_option_function<std::string>(names, read, description)
      ->type_name("SECONDS|500ms|5m");
}

CLI::Option* add_when(CLI::App& app, const std::string& names, std::optional<when>& target,
                      const std::string& description) {
  auto* option = app.add_option_function<std::string>(
      names, [&target](const std::string& text) { target = parse_when(text); }, description);
  return option->type_name("SPAN|TIME")->check([names](const std::string& text) {
    return parse_when(text) ? std::string{}
                            : names +
                                  " wants a span such as 10m, or a time such as "
                                  "2026-01-31T12:00:00Z, not `" +
                                  text + "`";
  });
}

CLI::Option* add_compress(CLI::App& app, int& level) {
  const auto usual = producer_options{}.compression_level;
  const CLI::callback_t take = [&level, usual](const CLI::results_t& given) {
    level = given.back() == "true" ? usual : std::stoi(given.back());
    return true;
  };
  const auto range = whole_number(compression_level_min, compression_level_max);
  return app
      .add_option("--compress", take,
                  "Compress batches with zstd; --compress=LEVEL: from 1, the fastest, to 19, the "
                  "smallest (" +
                      std::to_string(usual) + ")")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->expected(0) // a flag: what it is without a value is `true`
      ->check([range](std::string text) { return text == "true" ? std::string{} : range(text); });
}

void compress(producer_options& options, int level) {
  if (level == 0)
    return;
  options.compression = compression::zstd;
  options.compression_level = level;
}

CLI::Validator whole_number(std::uint64_t low, std::uint64_t high) {
  const auto check = [low, high](const std::string& text) {
    std::uint64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    const bool good = error == std::errc{} && stop == end && value >= low && value <= high;
    return good ? std::string{}
                : "wants a whole number from " + grouped(low) + " to " + grouped(high) + ", not `" +
                      printable(text, 80) + "`";
  };
  return {check, ""};
}

CLI::Validator number(double low, double high) {
  const auto check = [low, high](const std::string& text) {
    double value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    const bool good = error == std::errc{} && stop == end && value >= low && value <= high;
    return good ? std::string{}
                : "wants a number from " + fixed(low, 0) + " to " + fixed(high, 0) + ", not `" +
                      printable(text, 80) + "`";
  };
  return {check, ""};
}

CLI::Validator name_of_something() {
  const auto check = [](const std::string& text) {
    return is_valid_name(text) ? std::string{}
                               : "`" + printable(text, 80) +
                                     "` is no name: 1 to 128 of a-z A-Z 0-9 . _ -, not beginning "
                                     "with a dot";
  };
  return {check, ""};
}

const CLI::App& chosen_command(const CLI::App& app) {
  const auto* command = &app;
  while (!command->get_subcommands().empty())
    command = command->get_subcommands().front();
  return *command;
}

namespace {

std::string full_name(const CLI::App& command) {
  const auto* parent = command.get_parent();
  return (parent ? full_name(*parent) + " " : "") + command.get_name();
}

/// What stands where a command should; empty: nothing does.
std::string word_for_command(const CLI::App& app) {
  for (const auto& word : app.remaining(true))
    if (!word.starts_with('-'))
      return word;
  return {};
}

} // namespace

std::string usage_text(const CLI::App& app, const std::string& what) {
  return sentence(what) + " See `" + full_name(chosen_command(app)) + " --help`.";
}

std::string usage_text(const CLI::App& app, const CLI::ParseError& e) {
  const auto& command = chosen_command(app);
  const auto known = command.get_subcommands([](const CLI::App*) { return true; });
  if (known.empty())
    return usage_text(app, e.what());
  std::string names;
  for (const auto* each : known)
    names += (names.empty() ? "" : ", ") + each->get_name();
  const auto word = word_for_command(app);
  const auto name = "`" + full_name(command) + "`";
  return usage_text(app, word.empty() ? name + " wants a command: " + names
                                      : "`" + printable(word, 80) + "` is no command of " + name +
                                            "; these are: " + names);
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
