// A consumer in C++: does its work for each message, and ends after two seconds without one.
// Run it with a node on this machine: consumer [HOST:PORT] [TOPIC] [GROUP]
#include "net/client/client.hpp"

#include <iostream>

int main(int argc, char** argv) {
  const std::string server = argc > 1 ? argv[1] : "127.0.0.1:7411";
  const std::string topic = argc > 2 ? argv[2] : "orders";
  const std::string group = argc > 3 ? argv[3] : "billing";
  try {
    waybill::client depot{server};
    const auto work = [](const waybill::message& m) {
      // Returns: acknowledged. Throws: delivered again by the group's policy, and after the last
      // attempt a dead letter. It may come twice, so real work asks first whether it has m.id().
      std::cout << m.id() << " " << m.key() << ": " << m.body() << std::endl;
    };
    using namespace std::chrono_literals;
    const auto done = depot.consume(topic, group, work, {.idle_exit = 2s});
    std::cerr << done << " messages acknowledged\n";
    return 0;
  } catch (const waybill::client_error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
