// A node of one's own: the broker, and behaviours of this program in it. docs/extending.md is
// written around this file. Run it: own_node --node.data-dir=own-data
// --extensions.interceptors=orders=checker
#include "apps/node/node.hpp"

#include <csignal>
#include <fstream>
#include <iostream>

#include <unistd.h>

namespace {

using namespace waybill;

/// An interceptor: an order names its customer, who is the key; and it is stamped as checked.
interceptor_actor::behavior_type checker() {
  return {
      [](atom::intercept, const offered_ptr& batch) {
        std::map<std::uint32_t, interception::headers> changed;
        for (std::uint32_t place = 0; place < batch->messages.size(); ++place) {
          const auto& message = batch->messages[place];
          if (message.key.empty())
            return interception::reject("message " + std::to_string(place + 1) +
                                        " has no key: give it the customer's number");
          interception::headers headers{message.headers.begin(), message.headers.end()};
          headers.emplace_back("checked-by", "own-node");
          changed.emplace(place, std::move(headers));
        }
        return interception::change(std::move(changed));
      },
  };
}

/// An alarm sink: a line for each alarm that is raised, and for each that is over.
alarm_sink_actor::behavior_type pager(alarm_sink_actor::pointer, const std::string& path) {
  return {
      [to = std::make_shared<std::ofstream>(path, std::ios::app)](atom::alarm,
                                                                  const alarm_report& alarm) {
        *to << (alarm.raised ? "raised " : "over ") << alarm.name << " (" << alarm.subject
            << "): " << alarm.detail << ' ' << alarm.advice << std::endl;
        return done{};
      },
  };
}

/// A dead-letter listener: a line for each message that a group has given up on.
letter_listener_actor::behavior_type undertaker(letter_listener_actor::pointer,
                                                const std::string& path) {
  return {
      [to = std::make_shared<std::ofstream>(path, std::ios::app)](atom::letter,
                                                                  const buried_ptr& dead) {
        const auto& letter = dead->letter;
        const auto message = read_message(letter.message);
        *to << message_id(dead->topic, dead->partition, letter.offset) << " of " << dead->group
            << ", key " << (message ? message->key : "?") << ": " << letter.reason << std::endl;
        return done{};
      },
  };
}

/// A redelivery policy: what will never work is a dead letter at once, all else waits longer each
/// time.
redelivery_actor::behavior_type patient() {
  return {
      [](atom::failed, const failed_ptr& message) {
        if (message->reason.starts_with("unknown customer"))
          return redelivery::bury();
        return redelivery::again(message->attempt * std::chrono::seconds{10});
      },
  };
}

/// Under which name each is known to the configuration, and how it is started.
void add_extensions(node_config& config) {
  config.add_interceptor("checker",
                         [](caf::actor_system& system) { return system.spawn(checker); });
  config.add_redelivery_policy("patient",
                               [](caf::actor_system& system) { return system.spawn(patient); });
  // These write files, which may block: on threads of their own.
  config.add_alarm_sink("pager", [](caf::actor_system& system) {
    return system.spawn<caf::detached>(pager, "alarms.txt");
  });
  config.add_letter_listener("undertaker", [](caf::actor_system& system) {
    return system.spawn<caf::detached>(undertaker, "dead-letters.txt");
  });
}

int run(const std::vector<std::string>& arguments) {
  node_config config;
  add_extensions(config); // before `read`, which knows by them whether a name is right
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
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  node_options options;
  options.log = [](log_level, const std::string& line) { std::cerr << line + "\n"; };
  auto started = node::start(config, options);
  if (!started) {
    std::cerr << started.error().detail << '\n';
    return 1;
  }
  auto& running = **started;
  running.on_failure([](const failure&) { kill(getpid(), SIGTERM); });
  std::cerr << "the node listens on port " << running.port() << '\n';

  int received = 0;
  sigwait(&signals, &received);
  if (const auto why = running.failed()) {
    std::cerr << why->detail << '\n';
    return 1;
  }
  running.stop();
  return 0;
}

} // namespace

int main(int argc, char** argv) { return run({argv + 1, argv + argc}); }
