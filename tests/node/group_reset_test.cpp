// A group that is deleted and made again under its name, or sent to another place, while the disk
// is slow: what its consumers settled before does not reach what is given out afterwards.
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

message take(consumer& from) {
  auto m = from.next(20s);
  REQUIRE(m);
  return *std::move(m);
}

/// To a topic of one partition.
void publish(client& depot) {
  depot.create_topic("orders", 1);
  auto sender = depot.producer("orders");
  for (int i = 0; i < messages; ++i)
    sender.send_async({.body = std::string(1'000'000, static_cast<char>('a' + i))});
  sender.flush();
}

} // namespace

TEST_CASE("a group that is made again has nothing of what the old one had settled") {
  fault_env env;
  hosted_node node{
      {.env = &env, .flags = {"--storage.tail-bytes-max=0", "--delivery.attempts-max=1"}}};
  node.start();
  client depot{node.server(), quiet()};
  publish(depot);

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

TEST_CASE("what was under way for a message does not outlive a seek past it and back") {
  fault_env env;
  hosted_node node{
      {.env = &env, .flags = {"--storage.tail-bytes-max=0", "--delivery.attempts-max=1"}}};
  node.start();
  client depot{node.server(), quiet()};
  publish(depot);
  for (const auto* group : {"billing", "keeps-everything"})
    depot.set_group("orders", group, {});

  reader_spy disk{node.system()};
  auto from = depot.subscribe("orders", "billing");
  std::vector<message> held;
  for (int i = 0; i < messages; ++i)
    held.push_back(take(from));
  disk.reads().holding = true;
  from.nack(held[0], "unreadable"); // its burial waits for the body
  REQUIRE(comes_true(20s, [&] { return disk.reads().waiting > 0; }));
  const auto past = depot.seek_group("orders", "billing", 0,
                                     {.where = seek_to::kind::offset, .offset = message_offset{3}});
  CHECK(past.skipped == 3);
  const auto back = depot.seek_group("orders", "billing", 0, {.where = seek_to::kind::earliest});
  CHECK(back.reopened == 3);
  disk.release();

  for (int i = 3; i < messages; ++i) // acknowledgements are not stopped by what waited
    from.ack_and_wait(held[static_cast<std::size_t>(i)]);
  for (int i = 0; i < 3; ++i) {
    const auto again = take(from);
    CHECK(again.offset() == message_offset{static_cast<std::uint64_t>(i)});
    CHECK(again.attempt() == 1);
    from.ack_and_wait(again);
  }
  const auto books = depot.audit("orders", 0);
  CHECK(books.balances);
  for (const auto& group : books.groups)
    CHECK(group.dead == 0);
}
