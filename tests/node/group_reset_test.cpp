// A group that is deleted and made again under its name while the disk is slow: what consumers of
// the old one settled does not count for the new one.
#include "tests/node/hosted_node.hpp"
#include "tests/node/reader_spy.hpp"

#include "net/client/client.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace waybill;
using namespace waybill::test;
using namespace std::chrono_literals;

namespace {

constexpr int messages = 8; ///< together more than a leader keeps of what it has read

client_options quiet() {
  client_options options;
  options.log = [](const std::string&) {};
  return options;
}

message take(consumer& from) {
  auto m = from.next(20s);
  REQUIRE(m);
  return *std::move(m);
}

} // namespace

TEST_CASE("a group that is made again has nothing of what the old one had settled") {
  fault_env env;
  hosted_node node{
      {.env = &env, .flags = {"--storage.tail-bytes-max=0", "--delivery.attempts-max=1"}}};
  node.start();
  client depot{node.server(), quiet()};
  depot.create_topic("orders", 1);
  auto sender = depot.producer("orders");
  for (int i = 0; i < messages; ++i)
    sender.send_async({.body = std::string(1'000'000, static_cast<char>('a' + i))});
  sender.flush();

  reader_spy disk{node.system()};
  {
    auto old = depot.subscribe("orders", "billing");
    std::vector<message> held;
    for (int i = 0; i < messages; ++i)
      held.push_back(take(old));
    disk.reads().holding = true;
    // The dead letter needs the message's body, which is on the disk alone: both settlings wait.
    old.nack(held[0], "unreadable");
    old.ack(held[1]);
    REQUIRE(comes_true(20s, [&] { return disk.reads().waiting > 0; }));
    depot.delete_group("orders", "billing");
  }
  depot.set_group("orders", "billing", {});
  disk.release();

  auto fresh = depot.subscribe("orders", "billing");
  std::set<std::string> seen;
  for (int i = 0; i < messages; ++i) {
    const auto m = take(fresh);
    CHECK(m.attempt() == 1);
    seen.insert(m.id());
    fresh.ack_and_wait(m);
  }
  CHECK(seen.size() == messages);
  const auto groups = depot.list_groups("orders");
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].partitions.at(0).dead == 0);
  CHECK(groups[0].partitions.at(0).acked == messages);
}
