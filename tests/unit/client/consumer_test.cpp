// Consumers: by hand and with handlers; credit, acks, leases, and a node that breaks off.
#include "tests/unit/client/client_fixture.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace waybill;
using namespace waybill::testing;

TEST_CASE("a message arrives as it was sent, and is acknowledged for good", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders");
  p.send({.key = "k", .headers = {{"a", "1"}, {"b", ""}}, .body = "hello"});
  auto consumer = c.subscribe("orders", "g");
  const auto m = consumer.next(10s);
  REQUIRE(m);
  CHECK(m->key() == "k");
  CHECK(m->body() == "hello");
  CHECK(m->headers() == headers{{"a", "1"}, {"b", ""}});
  CHECK(m->id() == "orders/0/0");
  CHECK(m->attempt() == 1);
  consumer.ack_and_wait(*m);
  CHECK(depot.acked("orders", "g") == 1);
  CHECK_FALSE(consumer.next(0ms));
}

TEST_CASE("closing commits every ack, in fewer calls than acks", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 2}}}};
  depot.put("orders", 0, numbered("a", 200));
  depot.put("orders", 1, numbered("b", 200));
  client c{depot.address(), quick()};
  auto consumer = c.subscribe("orders", "g");
  depot.at_ack(std::vector<reaction>(4, {.what = kind::late}));
  for (int i = 0; i < 400; ++i) {
    const auto m = consumer.next(10s);
    REQUIRE(m);
    consumer.ack(*m);
  }
  consumer.close();
  CHECK(depot.acked("orders", "g") == 400);
  CHECK(depot.ack_calls() < 400);
}

TEST_CASE("a consumer holds no more than its credit, and what is over it goes back", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}, .excess_deliveries = 5}};
  depot.put("orders", 0, numbered("", 40));
  const auto said = new_notes();
  client c{depot.address(), quick(said)};
  auto consumer = c.subscribe("orders", "g", {.credit_messages = 10});
  REQUIRE(depot.eventually([&] { return depot.given_back() >= 5; }));
  CHECK(said->count("more of 'orders' than the credit") == 1);
  std::set<std::string> seen;
  while (seen.size() < 40) {
    const auto m = consumer.next(10s);
    REQUIRE(m);
    seen.insert(m->body());
    consumer.ack(*m);
  }
  consumer.close();
  CHECK(depot.acked("orders", "g") == 40);
}

TEST_CASE("closing gives back what is held, without counting an attempt", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, numbered("", 10));
  client c{depot.address(), quick()};
  {
    auto consumer = c.subscribe("orders", "g");
    REQUIRE(consumer.next(10s));
    REQUIRE(depot.eventually([&] { return depot.leased("orders", "g") == 10; }));
  }
  CHECK(depot.leased("orders", "g") == 0);
  auto next = c.subscribe("orders", "g");
  const auto m = next.next(10s);
  REQUIRE(m);
  CHECK(m->attempt() == 1);
}

TEST_CASE("after a broken connection messages come again, and old acks come too late",
          "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, numbered("", 3));
  client c{depot.address(), quick()};
  auto consumer = c.subscribe("orders", "g", {.credit_messages = 1});
  const auto old = consumer.next(10s);
  REQUIRE(old);
  depot.at_ack({{.what = kind::drop_before}});
  consumer.ack(*old); // breaks the connection; sent again on the next, where it is leased anew
  std::set<std::string> seen;
  while (seen.size() < 2) {
    const auto m = consumer.next(10s);
    REQUIRE(m);
    if (m->offset() != old->offset())
      seen.insert(m->body());
    consumer.ack(*m);
  }
  consumer.close();
  CHECK(depot.acked("orders", "g") == 3);
}

TEST_CASE("an ack that another consumer made too late is counted, and thrown to who waits",
          "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, {"x"});
  client c{depot.address(), quick()};
  auto first = c.subscribe("orders", "g");
  const auto m = first.next(10s);
  REQUIRE(m);
  first.give_back(*m);
  REQUIRE(depot.eventually([&] { return depot.given_back() == 1; }));
  const auto again = first.next(10s);
  REQUIRE(again);
  first.ack_and_wait(*again);
  try {
    first.ack_and_wait(*m);
    FAIL("it counted");
  } catch (const client_error& e) {
    CHECK(e.code() == ec::lease_lost);
  }
  CHECK(first.flush() == 1);
}

TEST_CASE("messages whose leases ended with their leader are not handed out, the others are",
          "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 2}}}};
  depot.put("orders", 0, {"a", "b", "c"});
  client c{depot.address(), quick()};
  auto consumer = c.subscribe("orders", "g");
  const auto held = consumer.next(10s);
  REQUIRE(held);
  depot.put("orders", 1, {"d"});
  REQUIRE(depot.eventually([&] { return depot.leased("orders", "g") == 4; }));
  depot.end_leases("orders", 0);
  const auto other = consumer.next(10s);
  REQUIRE(other);
  CHECK(other->body() == "d");
  CHECK_FALSE(consumer.next(0ms));
  CHECK_THROWS_AS(consumer.ack_and_wait(*held), client_error);
  consumer.ack_and_wait(*other);
}

TEST_CASE("an ack that the node refuses for now is sent again", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, {"x"});
  client c{depot.address(), quick()};
  auto consumer = c.subscribe("orders", "g");
  const auto m = consumer.next(10s);
  REQUIRE(m);
  depot.at_ack({{.what = kind::refuse, .code = ec::overloaded}});
  consumer.ack(*m);
  CHECK(consumer.flush() == 0);
  CHECK(depot.acked("orders", "g") == 1);
  CHECK(depot.ack_calls() == 2);
}

TEST_CASE("closing while the node is away waits for it, and learns what became of the acks",
          "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, {"x"});
  client c{depot.address(), quick()};
  auto consumer = c.subscribe("orders", "g");
  const auto m = consumer.next(10s);
  REQUIRE(m);
  depot.at_ack({{.what = kind::drop_before}});
  consumer.ack(*m);
  consumer.close(); // the next subscription has the message again, and takes the ack for it
  CHECK(depot.acked("orders", "g") == 1);
  CHECK(depot.leased("orders", "g") == 0);
}

TEST_CASE("a batch that cannot be read harms nobody, and ends as a dead letter", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}, .attempts_max = 2}};
  depot.put("orders", 0, {"x"});
  depot.spoil_batches(true);
  client c{depot.address(), quick()};
  auto consumer = c.subscribe("orders", "g");
  REQUIRE(depot.eventually([&] { return depot.dead_reasons("orders", "g").size() == 1; }));
  CHECK(depot.dead_reasons("orders", "g").front().find("cannot be read") != std::string::npos);
  depot.spoil_batches(false);
  depot.put("orders", 0, {"good"});
  const auto m = consumer.next(10s);
  REQUIRE(m);
  CHECK(m->body() == "good");
}

TEST_CASE("what waits in the queue keeps its lease while messages are taken", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}, .lease = 200ms}};
  depot.put("orders", 0, numbered("", 2));
  client c{depot.address(), quick()};
  c.consume("orders", "g",
            [&depot](const message& m) {
              CHECK(m.attempt() == 1);
              const auto before = depot.extended();
              // Of both: the one at work, and the one that waits.
              REQUIRE(depot.eventually([&] { return depot.extended() >= before + 4; }));
            },
            {.messages_max = 2});
  CHECK(depot.acked("orders", "g") == 2);
}

TEST_CASE("a handler that returns acknowledges, and one that throws gives its reason",
          "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}, .attempts_max = 3}};
  depot.put("orders", 0, numbered("", 5));
  client c{depot.address(), quick()};
  std::atomic<int> handled{0};
  const auto acked = c.consume("orders", "g",
                               [&handled](const message& m) {
                                 ++handled;
                                 if (m.body() == "2")
                                   throw std::runtime_error{"cannot charge"};
                               },
                               {.threads = 3, .idle_exit = 300ms});
  CHECK(acked == 4);
  CHECK(handled == 4 + 3);
  CHECK(depot.acked("orders", "g") == 4);
  CHECK(depot.dead_reasons("orders", "g") == std::vector<std::string>{"cannot charge"});
}

TEST_CASE("a handler gets no more than it asked for, and the rest is given back", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, numbered("", 50));
  client c{depot.address(), quick()};
  std::atomic<int> handled{0};
  CHECK(c.consume("orders", "g", [&handled](const message&) { ++handled; },
                  {.threads = 4, .messages_max = 7}) == 7);
  CHECK(handled == 7);
  CHECK(depot.acked("orders", "g") == 7);
  CHECK(depot.leased("orders", "g") == 0);
}

TEST_CASE("stop ends consume from any thread, also before it begins", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.put("orders", 0, {"x"});
  client c{depot.address(), quick()};
  std::promise<void> is_at_work;
  std::jthread other{[&] {
    is_at_work.get_future().wait();
    c.stop();
  }};
  CHECK(c.consume("orders", "g", [&](const message&) { is_at_work.set_value(); }) == 1);
  CHECK(c.consume("orders", "g", [](const message&) {}) == 0);
}

TEST_CASE("consume goes on over restarts of the node until all is acknowledged", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 2}}, .attempts_max = 1'000}};
  depot.put("orders", 0, numbered("a", 300));
  depot.put("orders", 1, numbered("b", 300));
  client c{depot.address(), quick()};
  std::mutex mutex;
  std::set<std::string> seen;
  std::atomic<int> handled{0};
  c.consume("orders", "g",
            [&](const message& m) {
              {
                const std::lock_guard lock{mutex};
                seen.insert(m.body());
              }
              if (++handled % 150 == 100) {
                depot.stop();
                depot.start();
              }
              if (depot.acked("orders", "g") + 1 >= 600)
                c.stop();
            },
            {.credit_messages = 40, .threads = 2, .idle_exit = 500ms});
  CHECK(seen.size() == 600);
  CHECK(depot.acked("orders", "g") >= 590); // the last few may have come too late, and come again
}

TEST_CASE("a subscription to a topic that is not there is refused", "[consumer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  try {
    c.subscribe("nothing", "g");
    FAIL("it was taken");
  } catch (const client_error& e) {
    CHECK(e.code() == ec::unknown_topic);
  }
}
