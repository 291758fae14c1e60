// A producer against a depot that misbehaves: nothing is doubled, nothing is lost without a word.
#include "tests/unit/client/client_fixture.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <random>

using namespace waybill;
using namespace waybill::testing;

namespace {

std::string failure_of(std::future<receipt>& f) {
  try {
    f.get();
    return "none";
  } catch (const unconfirmed_error& e) {
    return std::string{to_string(e.code())};
  }
}

} // namespace

TEST_CASE("a connection that breaks before or after the batch was taken changes nothing",
          "[producer][trouble]") {
  const auto how = GENERATE(kind::drop_before, kind::drop_after);
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_publish({{.what = how}, {.what = how}});
  client c{depot.address(), quick()};
  auto p = c.producer("orders", patient());
  CHECK(p.send("a").offset == message_offset{0});
  CHECK(p.send("b").offset == message_offset{1});
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a repeat carries the number and the bytes of the first send", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_publish({{}, {.what = kind::drop_after}});
  client c{depot.address(), quick()};
  auto p = c.producer("orders", patient());
  p.send("a");
  p.send("b");
  const auto calls = depot.publishes();
  REQUIRE(calls.size() == 3);
  CHECK(calls[1].number == calls[2].number);
  CHECK(calls[1].previous == calls[2].previous);
  CHECK(calls[1].bytes_hash == calls[2].bytes_hash);
}

TEST_CASE("sends in flight survive a restart of the node", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 2}}}};
  const auto said = new_notes();
  client c{depot.address(), quick(said)};
  auto p = c.producer("orders", patient());
  outcomes seen;
  for (int i = 0; i < 600; ++i) {
    p.send_async({.key = std::to_string(i % 5), .body = std::to_string(i)}, seen.note());
    if (i % 200 == 100) {
      depot.stop();
      depot.start();
    }
  }
  p.flush();
  CHECK(seen.confirmed() == 600);
  CHECK(sorted(depot.log("orders")) == sorted(numbered("", 600)));
  CHECK(said->count("lost the connection") <= 3); // a line per change, not per attempt
}

TEST_CASE("whatever goes wrong, in any order, each message is in the log once and in order",
          "[producer][trouble]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  fake_depot depot{{.topics = {{"orders", 3}}}};
  depot.decide_publish([&random](const publish_call&) {
    static constexpr kind all[] = {kind::drop_before, kind::drop_after,   kind::silent,
                                   kind::refuse,      kind::silent_after, kind::late,
                                   kind::fault,       kind::nonsense};
    static constexpr ec codes[] = {ec::overloaded,   ec::not_leader,       ec::disk_full,
                                   ec::out_of_order, ec::unknown_producer, ec::storage_failed,
                                   ec::timed_out,    ec::partition_offline};
    if (random() % 20 != 0)
      return reaction{};
    return reaction{.what = all[random() % std::size(all)],
                    .code = codes[random() % std::size(codes)]};
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.batch_messages_max = 5;
  options.retry.attempt_timeout = 30ms;
  options.retry.retries = 1'000;
  auto p = c.producer("orders", options);
  outcomes seen;
  for (int i = 0; i < 1'500; ++i)
    p.send_async({.key = std::to_string(i % 11), .body = std::to_string(i)}, seen.note());
  p.flush();
  CHECK(seen.confirmed() == 1'500);
  CHECK(sorted(depot.log("orders")) == sorted(numbered("", 1'500)));
  for (std::uint32_t n = 0; n < 3; ++n) {
    std::map<int, int> last;
    for (const auto& body : depot.log("orders", n)) {
      const auto i = std::stoi(body);
      CHECK(last[i % 11] <= i);
      last[i % 11] = i;
    }
  }
  for (const auto& r : seen.receipts()) // each receipt is of the message that it was given for
    CHECK(r.offset.value < depot.log("orders", r.partition).size());
}

TEST_CASE("whatever is given up, no message is doubled, and every confirmed one is in the log",
          "[producer][trouble]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  fake_depot depot{{.topics = {{"orders", 2}}}};
  depot.decide_publish([&random](const publish_call&) {
    static constexpr kind all[] = {kind::silent, kind::silent_after, kind::refuse, kind::late};
    static constexpr ec codes[] = {ec::overloaded, ec::malformed_batch, ec::out_of_order};
    if (random() % 50 == 0)
      return reaction{.what = kind::drop_after};
    if (random() % 4 != 0)
      return reaction{};
    const auto code = codes[random() % std::size(codes)];
    return reaction{
        .what = all[random() % std::size(all)], .code = code, .retry = code == ec::overloaded};
  });
  client c{depot.address(), quick()};
  producer_options options;
  options.retry = {
      .retries = 1, .interval = 2ms, .attempt_timeout = 15ms, .delivery_timeout = 10'000ms};
  options.batch_messages_max = 3;
  options.linger = 1ms;
  auto p = c.producer("orders", options);
  outcomes seen;
  for (int i = 0; i < 600; ++i)
    p.send_async({.key = std::to_string(i % 5), .body = std::to_string(i)}, seen.note());
  p.flush();
  const auto codes = seen.codes();
  const auto bodies = seen.bodies();
  REQUIRE(codes.size() == 600); // each has its outcome
  const auto log = sorted(depot.log("orders"));
  CHECK(std::ranges::adjacent_find(log) == log.end());
  for (std::size_t i = 0; i < codes.size(); ++i)
    if (codes[i] == ec::none)
      CHECK(std::ranges::binary_search(log, bodies[i]));
}

TEST_CASE("a batch refused as out of order is sent again, from the first unconfirmed on",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  // The first is lost, so those behind it are out of order by the depot's own judgement.
  depot.at_publish({{.what = kind::refuse, .code = ec::overloaded}});
  client c{depot.address(), quick()};
  auto options = patient();
  options.batch_messages_max = 1;
  auto p = c.producer("orders", options);
  for (int i = 0; i < 20; ++i)
    p.send_async(outgoing_message{.body = std::to_string(i)}, nullptr);
  p.flush();
  CHECK(depot.log("orders", 0) == numbered("", 20));
}

TEST_CASE("after the last retry the message comes back, with a log line and an alarm",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  const reaction full{.what = kind::refuse, .code = ec::disk_full};
  depot.at_publish({full, full, full, full});
  const auto said = new_notes();
  client c{depot.address(), quick(said)};
  std::vector<std::string> alarms;
  producer_options options;
  options.retry = {.retries = 3, .interval = 1ms};
  options.alarm = [&alarms](const outgoing_message& m, const failure&) {
    alarms.push_back(m.body);
  };
  auto p = c.producer("orders", options);
  try {
    p.send("given up");
    FAIL("it was confirmed");
  } catch (const unconfirmed_error& e) {
    CHECK(e.code() == ec::disk_full);
    CHECK(e.message.body == "given up");
  }
  CHECK(depot.publishes().size() == 4); // one send and three retries
  CHECK(alarms == std::vector<std::string>{"given up"});
  CHECK(said->count("gave up on 1 message(s)") == 1);
  p.send("the next");
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"the next"});
}

TEST_CASE("after a batch that was given up but taken, the next one is taken too, once",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.decide_publish([](const publish_call& call) {
    return reaction{.what = call.number == 1 ? kind::silent_after : kind::proper};
  });
  client c{depot.address(), quick()};
  producer_options options;
  options.retry = {.retries = 0, .attempt_timeout = 30ms};
  options.linger = 0ms;
  auto p = c.producer("orders", options);
  auto first = p.send_async({.body = "unknown"});
  CHECK(failure_of(first) == "timed_out");
  CHECK(p.send("next").offset == message_offset{1});
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"unknown", "next"});
}

TEST_CASE("an answer after the time-out of its attempt still counts", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  std::atomic<int> sends{0};
  depot.decide_publish([&sends](const publish_call&) {
    return reaction{.what = ++sends == 1 ? kind::held : kind::silent};
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.retry.attempt_timeout = 30ms;
  auto p = c.producer("orders", options);
  auto r = p.send_async({.body = "x"});
  REQUIRE(depot.eventually([&sends] { return sends >= 2; })); // the first has timed out
  depot.release_held();
  CHECK(r.get().offset == message_offset{0});
  CHECK(depot.log("orders", 0).size() == 1);
}

TEST_CASE("a node that answers nothing costs each message its time, and is told apart",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  producer_options options;
  options.retry = {
      .retries = 3, .interval = 1ms, .attempt_timeout = 20ms, .delivery_timeout = 10'000ms};
  auto p = c.producer("orders", options);
  depot.at_publish(std::vector<reaction>(4, {.what = kind::silent}));
  auto r = p.send_async({.body = "x"});
  CHECK(failure_of(r) == "timed_out");
  CHECK(depot.publishes().size() == 4);
  CHECK(depot.logins() == 1); // it gave a sign of life: the connection stays
}

TEST_CASE("without a server, what was not sent comes back after the delivery time-out",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  producer_options options;
  options.retry = {.delivery_timeout = 100ms};
  auto p = c.producer("orders", options);
  p.send("there");
  depot.stop();
  auto r = p.send_async({.body = "x"});
  const auto why = failure_of(r);
  CHECK((why == "unreachable" || why == "timed_out"));
  depot.start();
  CHECK(p.send("again there").offset == message_offset{1});
}

/// What cannot go at once gathers.
producer_options one_at_a_time(const retry_policy& retry = {}) {
  producer_options o;
  o.linger = 0ms;
  o.batches_in_flight_max = 1;
  o.retry = retry;
  return o;
}

TEST_CASE("what gathers behind a batch that is given up is given up in its time as well",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders", one_at_a_time({.delivery_timeout = 200ms}));
  p.send("there");
  depot.stop();
  auto first = p.send_async({.body = "alone"});
  std::this_thread::sleep_for(20ms); // it is sealed, and nothing goes
  std::vector<std::future<receipt>> behind;
  for (int i = 0; i < 3; ++i)
    behind.push_back(p.send_async({.body = "gathers"}));
  for (auto& each : behind) {
    REQUIRE(each.wait_for(10s) == std::future_status::ready);
    CHECK_THROWS_AS(each.get(), unconfirmed_error);
  }
  REQUIRE(first.wait_for(0s) == std::future_status::ready);
  CHECK_THROWS_AS(first.get(), unconfirmed_error);
}

TEST_CASE("what gathers while no batch can be sent has its own time all the same",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders", one_at_a_time({.delivery_timeout = 400ms}));
  p.send("there");
  depot.stop();
  using clock = std::chrono::steady_clock;
  struct outcome {
    clock::time_point sent;
    std::promise<clock::duration> lasted{};
  };
  std::deque<outcome> all;
  for (int i = 0; i < 20; ++i) {
    auto& o = all.emplace_back(outcome{clock::now()});
    p.send_async({.body = "x"}, [&o](const result<receipt>& r, const outgoing_message&) {
      o.lasted.set_value(r ? clock::duration{} : clock::now() - o.sent);
    });
    std::this_thread::sleep_for(15ms);
  }
  for (auto& each : all)
    CHECK(each.lasted.get_future().get() > 300ms);
}

TEST_CASE("what comes while a batch is under way goes together", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders", one_at_a_time());
  depot.at_publish({{.what = kind::silent}}); // the first waits for its second try
  std::vector<std::future<receipt>> all;
  all.push_back(p.send_async({.body = "0"}));
  std::this_thread::sleep_for(20ms);
  for (int i = 1; i < 5; ++i)
    all.push_back(p.send_async({.body = std::to_string(i)}));
  depot.drop_connections();
  for (auto& each : all)
    each.get();
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"0", "1", "2", "3", "4"});
  CHECK(depot.publishes().size() == 3); // the first twice, and the rest at once
}

TEST_CASE("what comes bit by bit while a batch is under way makes few batches", "[producer]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto p = c.producer("orders", one_at_a_time());
  depot.at_publish({{.what = kind::silent}});
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::future<receipt>> all;
  for (int i = 0; i < 40; ++i) {
    all.push_back(p.send_async({.body = std::to_string(i)}));
    std::this_thread::sleep_for(2ms);
  }
  const auto lasted = std::chrono::steady_clock::now() - begin;
  depot.drop_connections();
  for (auto& each : all)
    each.get();
  CHECK(depot.log("orders", 0).size() == 40);
  // Each gathers for 10 ms, but for the first and the last; the first is sent twice.
  CHECK(depot.publishes().size() <= 3 + static_cast<std::size_t>(lasted / 10ms));
}

TEST_CASE("a producer that somebody else has opened ends, and does not take the name back",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  client c{depot.address(), quick()};
  auto old_one = c.producer("orders", {.name = "till"});
  old_one.send("a");
  auto new_one = c.producer("orders", {.name = "till"});
  if (GENERATE(true, false))
    depot.drop_connections(); // a reconnect must not win it back either
  auto r = old_one.send_async({.body = "from the past"});
  CHECK(failure_of(r) == "fenced");
  CHECK_THROWS_AS(old_one.send("later"), unconfirmed_error);
  new_one.send("b");
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a number used before with other bytes is handed back, and the next one goes through",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"lines", 1}}}};
  client c{depot.address(), quick()};
  const auto publish = [&c](const std::vector<std::string>& bodies) {
    auto p = c.producer("lines", {.name = "file"});
    std::vector<ec> codes(bodies.size(), ec::internal);
    for (std::size_t i = 0; i < bodies.size(); ++i)
      p.send_numbered(0, batch_number{i + 1}, {{.body = bodies[i]}},
                      [&codes, i](result<std::vector<receipt>> r) {
                        codes[i] = r ? ec::none : r.error().code;
                      });
    p.flush();
    return codes;
  };
  publish({"a", "b"});
  CHECK(publish({"a", "other", "c"}) == std::vector<ec>{ec::none, ec::number_reused, ec::none});
  CHECK(depot.log("lines", 0) == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("a node that forgot the producer doubles nothing: what may be there is handed back",
          "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  std::atomic<int> sends{0};
  depot.decide_publish([&sends](const publish_call&) {
    switch (++sends) {
    case 2:
      return reaction{.what = kind::silent_after}; // taken, and nobody knows
    case 3:
      return reaction{.what = kind::forget};
    default:
      return reaction{};
    }
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.retry.attempt_timeout = 30ms;
  auto p = c.producer("orders", options);
  p.send("a");
  auto r = p.send_async({.body = "b"});
  CHECK(failure_of(r) == "too_old_to_know");
  p.send("c");
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("a forgotten producer goes on with what was surely not taken", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  std::atomic<int> sends{0};
  depot.decide_publish([&sends](const publish_call&) {
    return reaction{.what = ++sends == 2 ? kind::forget : kind::proper};
  });
  client c{depot.address(), quick()};
  auto p = c.producer("orders", patient());
  p.send("a");
  p.send("b"); // refused as of an unknown producer: it is not in the log
  CHECK(depot.log("orders", 0) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("an opening is repeated until the node can do it", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}}};
  depot.at_open({{.what = kind::refuse, .code = ec::not_leader},
                 {.what = kind::drop_before},
                 {.what = kind::refuse, .code = ec::overloaded}});
  client c{depot.address(), quick()};
  auto p = c.producer("orders");
  p.send("a");
  CHECK(depot.log("orders", 0).size() == 1);
}

TEST_CASE("no more batches are under way than the node remembers", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 1}}, .remembered = 2}};
  std::atomic<int> sends{0};
  depot.decide_publish([&sends](const publish_call&) {
    return reaction{.what = ++sends % 5 == 4 ? kind::drop_after : kind::proper};
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.batch_messages_max = 1;
  auto p = c.producer("orders", options);
  outcomes seen;
  for (int i = 0; i < 20; ++i)
    p.send_async({.body = std::to_string(i)}, seen.note());
  p.flush();
  CHECK(seen.confirmed() == 20);
  CHECK(depot.log("orders", 0) == numbered("", 20));
}

TEST_CASE("no more calls are under way than the node allows", "[producer][trouble]") {
  fake_depot depot{{.topics = {{"orders", 8}}, .in_flight_max = 2}};
  std::atomic<int> held{0};
  depot.decide_publish([&held](const publish_call&) {
    ++held;
    return reaction{.what = kind::held};
  });
  client c{depot.address(), quick()};
  auto options = patient();
  options.batch_messages_max = 1;
  auto p = c.producer("orders", options);
  for (int i = 0; i < 16; ++i)
    p.send_async(outgoing_message{.body = std::to_string(i)}, nullptr);
  for (int released = 2; released <= 16; released += 2) {
    REQUIRE(depot.eventually([&] { return held == released; }));
    depot.release_held();
  }
  p.flush();
  CHECK(depot.log("orders").size() == 16);
}
