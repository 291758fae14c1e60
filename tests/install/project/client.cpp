// A user's program with the client library alone. Usage: user_program HOST:PORT
#include "net/client/client.hpp"
#include "storage/types.hpp"

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  try {
    waybill::client depot{argv[1]};
    depot.create_topic("orders", 1);
    const auto receipt = depot.producer("orders").send({.key = "order-17", .body = user::greeting});
    std::string body;
    depot.consume("orders", "billing", [&body](const waybill::message& m) { body = m.body(); },
                  {.messages_max = 1});
    std::cout << to_string(receipt) << ": " << body << '\n';
    return body == user::greeting ? 0 : 1;
  } catch (const waybill::client_error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
