// Finding a server, logging in, and the administrative calls that must survive a lost answer.
#include "tests/unit/client/client_fixture.hpp"

#include <catch2/catch.hpp>

using namespace waybill;
using namespace waybill::testing;

TEST_CASE("a list of servers is tried in turn, past one that is dead and one that talks nonsense",
          "[connection]") {
  fake_depot dead{{}};
  dead.stop();
  fake_depot garbage{{}};
  garbage.send_garbage(true);
  fake_depot good{{.topics = {{"orders", 1}}}};
  const auto said = new_notes();
  client c{dead.address() + ", " + garbage.address() + "," + good.address(), quick(said)};
  CHECK(c.describe_topic("orders").partitions.size() == 1);
  CHECK(said->count("no connection") == 1);
  CHECK(said->count("connected to " + good.address()) == 1);
}

TEST_CASE("what is no list of servers is refused by name", "[connection]") {
  for (const auto* text : {"", "host", "host:", ":1", "host:0", "host:70000", "a:1,,b:2", "a:1x"}) {
    INFO(text);
    try {
      client c{text};
      FAIL("it was taken");
    } catch (const client_error& e) {
      CHECK(e.code() == ec::bad_argument);
    }
  }
}

TEST_CASE("a login that is refused for good is not repeated", "[connection]") {
  const auto code = GENERATE(ec::not_allowed, ec::version_unsupported);
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_login({{.what = kind::refuse, .code = code}});
  client c{depot.address(), quick()};
  try {
    c.producer("orders");
    FAIL("it was opened");
  } catch (const client_error& e) {
    CHECK(e.code() == code);
  }
}

TEST_CASE("a login that is refused for now is repeated", "[connection]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_login(std::vector<reaction>(3, {.what = kind::refuse, .code = ec::overloaded}));
  client c{depot.address(), quick()};
  CHECK(c.describe_topic("orders").name == "orders");
}

TEST_CASE("without a server a call ends in time, and says what was tried", "[connection]") {
  fake_depot depot{{}};
  depot.stop();
  auto options = quick();
  options.call_timeout = 100ms;
  client c{depot.address(), options};
  const auto check = [&depot](const auto& call) {
    try {
      call();
      FAIL("it was answered");
    } catch (const client_error& e) {
      CHECK(e.code() == ec::unreachable);
      CHECK(std::string{e.what()}.find(depot.address()) != std::string::npos);
    }
  };
  check([&c] { c.describe_topic("orders"); });
  check([&c] { c.producer("orders"); });
  check([&c] { c.subscribe("orders", "g"); });
}

TEST_CASE("a topic whose creation was not answered is ours; one that was there is not",
          "[connection]") {
  fake_depot depot{{.topics = {{"old", 2}}}};
  depot.at_open({{.what = kind::drop_after}}); // of the creation's answer
  client c{depot.address(), quick()};
  c.create_topic("new", 3);
  CHECK(c.describe_topic("new").partitions.size() == 3);
  try {
    c.create_topic("old", 2);
    FAIL("it was created");
  } catch (const client_error& e) {
    CHECK(e.code() == ec::topic_exists);
  }
}

TEST_CASE("a producer may outlive its client", "[connection]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  auto p = [&depot] {
    client c{depot.address(), quick()};
    return c.producer("orders");
  }();
  p.send("x");
  CHECK(depot.log("orders", 0).size() == 1);
}
