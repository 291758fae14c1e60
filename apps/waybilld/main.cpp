// The program `waybilld`: reads its configuration, runs a node until it is told to stop, says why
// it ends; and lets its service manager know how it stands.
#include "apps/node/node.hpp"
#include "apps/waybilld/daemon_log.hpp"
#include "apps/waybilld/service_manager.hpp"
#include "apps/waybilld/watchdog.hpp"

#include <csignal>
#include <iostream>
#include <thread>

#include <unistd.h>

namespace {

/// Signals are taken by one thread that waits for them; everybody else has them blocked.
sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// Without a word to its service manager a daemon goes on: who cannot be told, was not asked for.
void told(const waybill::result<void>& outcome) {
  if (!outcome)
    waybill::write_log(waybill::log_level::warning, outcome.error().detail);
}

/// Nothing where nobody waits for it. Asks so often that one late answer is no reason to be ended.
std::unique_ptr<waybill::watchdog> watch(waybill::node& running,
                                         const waybill::service_manager& manager) {
  if (!manager.patience())
    return nullptr;
  return std::make_unique<waybill::watchdog>(waybill::watchdog_options{
      *manager.patience() / 4,
      [&running](waybill::milliseconds patience) { return running.answers(patience); },
      [&manager] { told(manager.well()); },
      [](const std::string& line) { waybill::write_log(waybill::log_level::warning, line); }});
}

/// Until a signal or a failure of the node; then ends it. @returns the exit status
int serve(waybill::node& running, const waybill::service_manager& manager,
          const sigset_t& signals) {
  using namespace waybill;
  auto watching = watch(running, manager);
  running.on_failure([](const failure&) { ::kill(::getpid(), SIGTERM); });
  int signal = 0;
  sigwait(&signals, &signal);
  told(manager.stopping("Answering what is in flight"));
  watching.reset();
  if (const auto why = running.failed()) {
    write_log(log_level::error, "the node has failed and ends: " + why->detail);
    return 1;
  }
  write_log(log_level::info, "stopping: answering what is in flight");
  // A second signal while stopping ends at once: what is confirmed is on the disk.
  std::thread{[signals] {
    int again = 0;
    sigwait(&signals, &again);
    std::_Exit(130);
  }}.detach();
  running.stop();
  write_log(log_level::info, "stopped");
  return 0;
}

int run(waybill::node_config& config) {
  using namespace waybill;
  begin_log(config.values().node.log_level);
  const auto signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN); // a peer that hangs up is an error of its connection alone
  const auto manager = service_manager::of_environment();
  auto started = node::start(config, {write_log});
  if (!started) {
    std::cerr << "waybilld: " << started.error().detail << '\n';
    return 1;
  }
  auto& running = **started;
  if (config.development())
    write_log(log_level::info,
              "this is a development node: one node, without a coordinator, on this machine only");
  auto address = config.values().net.listen;
  address.port = running.port();
  write_log(log_level::info, "node " + config.values().node.id + " serves " + to_string(address) +
                                 " with its data in " + config.values().node.data_dir.string());
  if (const auto answered = running.answers(config.bounds().storage.request_timeout); !answered) {
    std::cerr << "waybilld: " << answered.error().detail << "; start it again\n";
    return 1;
  }
  told(manager.ready("Serves " + to_string(address)));
  return serve(running, manager, signals);
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
