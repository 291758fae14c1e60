// The program `waybilld`: reads its configuration, runs a node until it is told to stop, says why
// it ends.
#include "apps/node/node.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <future>
#include <iostream>
#include <thread>

namespace {

/// Signals are taken by one thread that waits for them; everybody else has them blocked.
sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void log(waybill::log_level level, const std::string& line) {
  switch (level) {
  case waybill::log_level::info:
    return spdlog::info("{}", line);
  case waybill::log_level::warning:
    return spdlog::warn("{}", line);
  case waybill::log_level::error:
    return spdlog::error("{}", line);
  }
}

int run(waybill::node_config& config) {
  using namespace waybill;
  spdlog::set_default_logger(spdlog::stderr_color_mt("waybilld"));
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  spdlog::set_level(spdlog::level::from_str(config.values().node.log_level));
  const auto signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN); // a peer that hangs up is an error of its connection alone
  auto started = node::start(config, {log});
  if (!started) {
    std::cerr << "waybilld: " << started.error().detail << '\n';
    return 1;
  }
  auto& running = **started;
  if (config.development())
    spdlog::info(
        "this is a development node: one node, without a coordinator, on this machine only");
  auto address = config.values().net.listen;
  address.port = running.port();
  spdlog::info("node {} serves {} with its data in {}", config.values().node.id, to_string(address),
               config.values().node.data_dir.string());
  running.on_failure([](const failure&) { ::kill(::getpid(), SIGTERM); });
  int signal = 0;
  sigwait(&signals, &signal);
  if (const auto why = running.failed()) {
    spdlog::error("the node has failed and ends: {}", why->detail);
    return 1;
  }
  spdlog::info("stopping: answering what is in flight");
  // A second signal while stopping ends at once: what is confirmed is on the disk.
  std::thread{[signals] {
    int again = 0;
    sigwait(&signals, &again);
    std::_Exit(130);
  }}.detach();
  running.stop();
  spdlog::info("stopped");
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  auto config = waybill::node_config::parse(argc, argv);
  if (!config) {
    std::cerr << "waybilld: " << config.error().detail << '\n';
    return 2;
  }
  if ((*config)->wanted() != waybill::wanted_action::run) {
    std::cout << (*config)->text();
    return 0;
  }
  return run(**config);
}
