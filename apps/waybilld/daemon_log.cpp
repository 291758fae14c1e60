// See daemon_log.hpp.
#include "apps/waybilld/daemon_log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

namespace waybill {

namespace {

/// Whether standard error is systemd's journal: it has its own clock, and takes a line's severity
/// from before it (sd-daemon(3)).
bool in_journal() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets a variable
  const auto* stream = std::getenv("JOURNAL_STREAM");
  struct stat here {};
  return stream && ::fstat(STDERR_FILENO, &here) == 0 &&
         stream == std::to_string(here.st_dev) + ":" + std::to_string(here.st_ino);
}

/// `<4>`: syslog's number of the severity.
class severity final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& to) override {
    const char number = message.level >= spdlog::level::err    ? '3'
                        : message.level == spdlog::level::warn ? '4'
                        : message.level == spdlog::level::info ? '6'
                                                               : '7';
    for (const char each : {'<', number, '>'})
      to.push_back(each);
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<severity>();
  }
};

} // namespace

void begin_log(const std::string& level) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("waybilld"));
  if (in_journal()) {
    auto pattern = std::make_unique<spdlog::pattern_formatter>();
    pattern->add_flag<severity>('*').set_pattern("%*%v");
    spdlog::set_formatter(std::move(pattern));
  } else {
    spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  }
  spdlog::set_level(spdlog::level::from_str(level));
}

void write_log(log_level level, const std::string& line) {
  switch (level) {
  case log_level::info:
    return spdlog::info("{}", line);
  case log_level::warning:
    return spdlog::warn("{}", line);
  case log_level::error:
    return spdlog::error("{}", line);
  }
}

} // namespace waybill
