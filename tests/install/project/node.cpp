// A user's program with a node of its own in it, and a client beside it.
// Usage: user_program DIRECTORY
#include "storage/types.hpp"

#include <waybill/actors/context.hpp>
#include <waybill/apps/node/node.hpp>
#include <waybill/net/client/client.hpp>

#include <iostream>

namespace {

/// Through the actors, and not over the client library.
std::size_t topics_of(waybill::node& running) {
  using namespace waybill;
  std::size_t count = 0;
  caf::scoped_actor asker{running.system()};
  const auto topics =
      find_role<partition_supervisor_actor>(running.system(), role::partition_supervisor);
  asker->request(topics, std::chrono::seconds{30}, atom::list_v)
      .receive([&count](const topic_list& all) { count = all.size(); }, [](const caf::error&) {});
  return count;
}

int run(const std::string& directory) {
  waybill::node_config config;
  const std::vector<std::string> flags{"--node.data-dir=" + directory, "--net.listen=127.0.0.1:0",
                                       "--storage.disk-free-min=0"};
  if (const auto read = config.read(flags); !read) {
    std::cerr << read.error().detail << '\n';
    return 1;
  }
  auto started = waybill::node::start(
      config, {[](waybill::log_level, const std::string& line) { std::cerr << line << '\n'; }});
  if (!started) {
    std::cerr << started.error().detail << '\n';
    return 1;
  }
  auto& running = **started;
  waybill::client depot{"127.0.0.1:" + std::to_string(running.port())};
  depot.create_topic("orders", 1);
  const auto receipt = depot.producer("orders").send({.key = "order-17", .body = user::greeting});
  std::string body;
  depot.consume("orders", "billing", [&body](const waybill::message& m) { body = m.body(); },
                {.messages_max = 1});
  const auto topics = topics_of(running);
  running.stop();
  std::cout << to_string(receipt) << ": " << body << ", of " << topics << " topic\n";
  return body == user::greeting && topics == 1 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  try {
    return run(argv[1]);
  } catch (const waybill::client_error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
