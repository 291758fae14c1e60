// A producer in C++: sends ten orders, and prints a receipt for each.
// Run it with a node on this machine: producer [HOST:PORT] [TOPIC]
#include "net/client/client.hpp"

#include <iostream>

int main(int argc, char** argv) {
  const std::string server = argc > 1 ? argv[1] : "127.0.0.1:7411";
  const std::string topic = argc > 2 ? argv[2] : "orders";
  try {
    waybill::client depot{server};
    auto orders = depot.producer(topic);
    for (int i = 1; i <= 10; ++i) {
      const auto number = std::to_string(i);
      // Returns when the message is on disk; throws when that could not be had after all retries.
      const auto receipt = orders.send({.key = "order-" + number, .body = "order " + number});
      std::cout << to_string(receipt) << '\n';
    }
    return 0;
  } catch (const waybill::unconfirmed_error& e) {
    std::cerr << "not confirmed: " << e.message.body << ": " << e.what() << '\n';
  } catch (const waybill::client_error& e) {
    std::cerr << e.what() << '\n';
  }
  return 1;
}
