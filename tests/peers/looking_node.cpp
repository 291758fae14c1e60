// A node with an interceptor that reads each message and changes nothing: what the asking alone
// costs (`tests/peers/scale interceptor`). Run it as waybilld; without
// --extensions.interceptors=*=looker it is one.
#include "apps/node/node.hpp"

#include <csignal>
#include <iostream>

#include <unistd.h>

namespace {

using namespace waybill;

interceptor_actor::behavior_type looker() {
  return {
      [](atom::intercept, const offered_ptr& batch) {
        for (const auto& message : batch->messages)
          if (message.body.empty())
            return interception::reject("a message without a body");
        return interception::accept();
      },
  };
}

int run(const std::vector<std::string>& arguments) {
  node_config config;
  config.add_interceptor("looker", [](caf::actor_system& system) { return system.spawn(looker); });
  if (const auto read = config.read(arguments); !read) {
    std::cerr << read.error().detail << '\n';
    return 2;
  }
  if (config.wanted() != wanted_action::run) {
    std::cout << config.text();
    return 0;
  }
  sigset_t signals; // blocked before any thread begins, so that this one alone receives them
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  node_options options;
  options.log = [](log_level, const std::string& line) { std::cerr << line + "\n"; };
  auto started = node::start(config, options);
  if (!started) {
    std::cerr << started.error().detail << '\n';
    return 1;
  }
  int received = 0;
  sigwait(&signals, &received);
  (*started)->stop();
  return 0;
}

} // namespace

int main(int argc, char** argv) { return run({argv + 1, argv + argc}); }
