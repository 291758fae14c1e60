// A producer against a depot that behaves: order, batches, numbers, room, closing.
#include "tests/unit/client/client_fixture.hpp"

#include <catch2/catch.hpp>

using namespace waybill;
using namespace waybill::testing;

TEST_CASE("a receipt says where the message lies, and it lies there once", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders");
  const auto first = p.send({.key = "a", .headers = {{"h", "v"}}, .body = "one"});
  const auto second = p.send("two");
  CHECK(first.topic == "orders");
  CHECK(first.offset == message_offset{0});
  CHECK(second.offset == message_offset{1});
  CHECK(second.entry.index == log_index{2});
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a message may be written in place, of literals alone", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders");
  const char* text = "two boxes";
  CHECK(p.send({.key = "order-17", .body = "two boxes"}).offset == message_offset{0});
  CHECK(p.send({.key = "order-18", .body = text}).offset == message_offset{1});
  CHECK(p.send({.body = text, .partition = 0}).offset == message_offset{2});
  CHECK(p.send(text).offset == message_offset{3});
}

TEST_CASE("messages of one key stay in one partition, in order", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 4}}}};
  client c{depot.address(), quick()};
  outcomes seen;
  {
    auto p = c.producer("orders", patient());
    for (int i = 0; i < 2'000; ++i)
      p.send_async({.key = "k" + std::to_string(i % 7), .body = std::to_string(i)}, seen.note());
    p.flush();
  }
  CHECK(seen.confirmed() == 2'000);
  for (std::uint32_t n = 0; n < 4; ++n) {
    std::map<int, int> last;
    for (const auto& body : depot.log("orders", n)) {
      const auto i = std::stoi(body);
      CHECK(partition_of_key("k" + std::to_string(i % 7), 4) == n);
      const auto before = last.find(i % 7);
      CHECK((before == last.end() || before->second < i));
      last[i % 7] = i;
    }
  }
}

TEST_CASE("messages without a key travel in whole batches, to the partitions in turn",
          "[producer]") {
  fake_depot depot{{.topics = {{"orders", 3}}}};
  client c{depot.address(), quick()};
  auto options = patient();
  options.batch_messages_max = 10;
  options.linger = 10'000ms;
  auto p = c.producer("orders", options);
  for (int i = 0; i < 60; ++i)
    p.send_async(outgoing_message{.body = std::to_string(i)}, nullptr);
  p.flush();
  CHECK(depot.publishes().size() == 6);
  for (std::uint32_t n = 0; n < 3; ++n)
    CHECK(depot.log("orders", n).size() == 20);
}

TEST_CASE("batches are numbered from one, each after the one before it", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  {
    auto p = c.producer("orders", {.name = "line"});
    for (int i = 0; i < 3; ++i)
      p.send("x");
  }
  auto again = c.producer("orders", {.name = "line"}); // goes on where the name stopped
  CHECK(again.last_batches() == std::vector<last_batch>{{batch_number{3}, 0}});
  again.send("y");
  const auto calls = depot.publishes();
  REQUIRE(calls.size() == 4);
  for (std::uint64_t i = 0; i < 4; ++i) {
    CHECK(calls[i].number == i + 1);
    CHECK(calls[i].previous == i);
  }
}

TEST_CASE("a batch holds any message that the node takes, also an empty one", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}, .message_bytes_max = 16u << 20}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders");
  const std::string large(16u << 20, 'x');
  p.send(large);
  p.send("");
  p.send({.key = "k", .headers = {{"empty", ""}, {"", "nameless"}}, .body = "tail"});
  CHECK(depot.log("orders", 0) == std::vector<std::string>{large, "", "tail"});
}

TEST_CASE("what no node would take is refused before it is sent", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 2}}, .message_bytes_max = 2'000}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders");
  const auto code_of = [&p](outgoing_message m) {
    try {
      p.send(std::move(m));
      return ec::none;
    } catch (const unconfirmed_error& e) {
      return e.code();
    }
  };
  CHECK(code_of({.body = std::string(2'001, 'x')}) == ec::message_too_large);
  CHECK(code_of({.body = "x", .partition = 2}) == ec::unknown_partition);
  CHECK(code_of({.body = std::string(2'000, 'x')}) == ec::none);
  CHECK(depot.publishes().size() == 1);
  CHECK_THROWS_AS(c.producer("nothing"), client_error);
}

TEST_CASE("a send blocks while there is no room, and goes on when there is", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.decide_publish([](const publish_call& call) {
    return reaction{.what = call.number == 1 ? kind::held : kind::proper};
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.waiting_messages_max = 2;
  options.batches_in_flight_max = 1;
  auto p = c.producer("orders", options);
  outcomes seen;
  p.send_async({.body = "a"}, seen.note());
  REQUIRE(depot.eventually([&] { return depot.publishes().size() == 1; }));
  p.send_async({.body = "b"}, seen.note());
  std::atomic<bool> is_through{false};
  std::jthread third{[&] {
    p.send_async({.body = "c"}, seen.note());
    is_through = true;
  }};
  CHECK_FALSE(is_through);
  depot.release_held();
  third.join();
  p.flush();
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"a", "b", "c"});
  CHECK(seen.confirmed() == 3);
}

TEST_CASE("many callers that block at once still share batches", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto options = patient();
  options.waiting_messages_max = 50;
  auto p = c.producer("orders", options);
  {
    std::vector<std::jthread> callers;
    for (int t = 0; t < 8; ++t)
      callers.emplace_back([&p] {
        for (int i = 0; i < 500; ++i)
          p.send_async(outgoing_message{.body = "x"}, nullptr);
      });
  }
  p.flush();
  CHECK(depot.log("orders", 0).size() == 4'000);
  CHECK(depot.publishes().size() < 2'000);
}

TEST_CASE("a callback may send, but may not wait", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders", patient());
  std::promise<ec> blocked;
  p.send_async({.body = "first"}, [&](result<receipt>, outgoing_message) {
    p.send_async(outgoing_message{.body = "second"}, nullptr);
    try {
      p.send("never");
      blocked.set_value(ec::none);
    } catch (const client_error& e) {
      blocked.set_value(e.code());
    }
  });
  CHECK(blocked.get_future().get() == ec::bad_argument);
  p.flush();
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"first", "second"});
}

TEST_CASE("closing hands back what has no receipt, each with its state", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.decide_publish([](const publish_call& call) {
    return reaction{.what = call.number == 1 ? kind::proper : kind::silent};
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.batches_in_flight_max = 1;
  auto p = c.producer("orders", options);
  p.send("confirmed");
  auto unknown = p.send_async({.body = "unknown"});
  REQUIRE(depot.eventually([&] { return depot.publishes().size() == 2; }));
  auto not_sent = p.send_async({.body = "not sent"});
  const auto left = p.close(0ms);
  REQUIRE(left.size() == 2);
  CHECK(left[0].message.body == "unknown");
  CHECK(left[0].state == send_state::unknown);
  CHECK(left[1].message.body == "not sent");
  CHECK(left[1].state == send_state::not_sent);
  CHECK_THROWS_AS(unknown.get(), unconfirmed_error);
  CHECK_THROWS_AS(not_sent.get(), unconfirmed_error);
  CHECK_THROWS_AS(p.send("late"), unconfirmed_error);
  CHECK(p.close(0ms).empty());
}

TEST_CASE("closing with patience waits for what is under way", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_publish({{.what = kind::late}});
  client c{depot.address(), quick()};
  auto p = c.producer("orders", patient());
  auto r = p.send_async({.body = "x"});
  CHECK(p.close(20'000ms).empty());
  CHECK(r.get().offset == message_offset{0});
}

TEST_CASE("who lets a producer go without closing it hears of what was left", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_publish({{.what = kind::silent}});
  const auto said = new_notes();
  client c{depot.address(), quick(said)};
  std::atomic<int> alarms{0};
  {
    auto options = patient();
    options.alarm = [&alarms](const outgoing_message&, const failure&) { ++alarms; };
    auto p = c.producer("orders", options);
    p.send_async(outgoing_message{.body = "x"}, nullptr);
    REQUIRE(depot.eventually([&] { return depot.publishes().size() == 1; }));
  }
  CHECK(alarms == 1);
  CHECK(said->count("gave up on 1 message(s)") == 1);
}

TEST_CASE("a producer that numbers its own batches goes on after a crash and doubles nothing",
          "[producer]") {
  fake_depot depot{{.topics = {{"lines", 1}}}};
  client c{depot.address(), quick()};
  const auto publish_all = [&c](int batches) {
    auto p = c.producer("lines", {.name = "file"});
    std::atomic<int> confirmed{0};
    for (int b = 0; b < batches; ++b)
      p.send_numbered(0, batch_number{static_cast<std::uint64_t>(b + 1) * 10},
                      {{.body = std::to_string(b)}, {.body = std::to_string(b) + "'"}},
                      [&confirmed](result<std::vector<receipt>> r) {
                        confirmed += r ? static_cast<int>(r->size()) : 0;
                      });
    p.flush();
    return confirmed.load();
  };
  CHECK(publish_all(5) == 10);
  CHECK(publish_all(9) == 18); // all of them have their receipts
  CHECK(depot.log("lines", 0).size() == 18);
}

TEST_CASE("a batch older than what the node remembers is never taken as new", "[producer]") {
  fake_depot depot{{.topics = {{"lines", 1}}, .remembered = 2}};
  client c{depot.address(), quick()};
  const auto publish_all = [&c] {
    auto p = c.producer("lines", {.name = "file"});
    std::vector<ec> codes(5, ec::internal);
    for (std::uint64_t b = 0; b < 5; ++b)
      p.send_numbered(0, batch_number{b + 1}, {{.body = std::to_string(b)}},
                      [&codes, b](result<std::vector<receipt>> r) {
                        codes[b] = r ? ec::none : r.error().code;
                      });
    p.flush();
    return codes;
  };
  publish_all();
  CHECK(publish_all() == std::vector<ec>{ec::too_old_to_know, ec::too_old_to_know,
                                         ec::too_old_to_know, ec::none, ec::none});
  CHECK(depot.log("lines", 0).size() == 5);
}

TEST_CASE("a message whose times contradict each other is refused alone", "[producer]") {
  fake_depot depot{{.topics = {{"lines", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("lines");
  const auto code_of = [&p](outgoing_message m) {
    try {
      p.send(std::move(m));
    } catch (const unconfirmed_error& e) {
      return e.code();
    }
    return ec::none;
  };
  const wall_time then{std::chrono::hours{1}};
  CHECK(code_of({.deliver_at = then, .delay = 1s}) == ec::bad_argument);
  CHECK(code_of({.expires = then, .time_to_live = 1s}) == ec::bad_argument);
  CHECK(code_of({.delay = 0ms}) == ec::bad_argument);
  CHECK(code_of({.time_to_live = std::chrono::years{11}}) == ec::bad_argument);
  CHECK(code_of({.deliver_at = wall_time{}}) == ec::bad_argument);
  CHECK(code_of({.delay = 1s, .expires = then}) == ec::none);
  CHECK(depot.log("lines", 0).size() == 1);
}

TEST_CASE("numbers of the caller's own grow, and do not mix with ours", "[producer]") {
  fake_depot depot{{.topics = {{"lines", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("lines");
  const auto code_of = [&p](std::uint64_t number) {
    std::promise<ec> code;
    p.send_numbered(
        0, batch_number{number}, {{.body = "x"}},
        [&code](result<std::vector<receipt>> r) { code.set_value(r ? ec::none : r.error().code); });
    return code.get_future().get();
  };
  CHECK(code_of(0) == ec::bad_argument);
  CHECK(code_of(7) == ec::none);
  CHECK(code_of(7) == ec::bad_argument);
  CHECK_THROWS_AS(p.send("without a number"), unconfirmed_error);
}
