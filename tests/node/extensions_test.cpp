// Extensions in a node: each kind works, and one that is slow, ends, or talks nonsense takes
// nothing down with it: what it was to judge is refused, what it was to hear is counted.
#include "storage/compression.hpp"
#include "storage/format.capnp.h"
#include "tests/node/extension_desk.hpp"

#include <capnp/serialize.h>
#include <catch2/catch.hpp>

#include <deque>

using namespace waybill;
using namespace waybill::test;

namespace {

struct judge_state {
  std::vector<std::pair<std::string, caf::typed_response_promise<interception>>> kept;
  std::vector<offered_ptr> hoard;
  std::uint64_t asked = 0;
};

/// Does what the body of the batch's first message says.
interceptor_actor::behavior_type judge(interceptor_actor::stateful_pointer<judge_state> self,
                                       const desk_ptr& notes) {
  return {[self, notes](atom::intercept, const offered_ptr& batch) -> caf::result<interception> {
    const auto& first = batch->messages.front();
    const std::string word{first.body.substr(0, first.body.find(' '))};
    notes->add(batch->topic + " " + std::string{first.key} + " " + word);
    if (word == "reject")
      return interception::reject("no such customer");
    if (word == "stamp") {
      auto headers = interception::headers{{"checked", std::to_string(++self->state.asked)}};
      for (const auto& [name, value] : first.headers)
        headers.emplace_back(name, value);
      return interception::change({{0, headers}});
    }
    if (word == "nonsense")
      return interception::change({{99, {}}});
    if (word == "swell")
      return interception::change({{0, {{"large", std::string(2u << 20, 'x')}}}});
    if (word == "die")
      self->quit(caf::make_error(ec::internal));
    if (word == "hoard")
      self->state.hoard.push_back(batch);
    if (word == "empty")
      self->state.hoard.clear();
    if (word == "sleep" || word == "die" || word == "hoard") {
      self->state.kept.emplace_back(word, self->make_response_promise<interception>());
      return self->state.kept.back().second;
    }
    if (word == "keep") { // until somebody says `free`
      self->state.kept.emplace_back(word, self->make_response_promise<interception>());
      return self->state.kept.back().second;
    }
    if (word == "free")
      for (auto& [what, answer] : self->state.kept)
        if (what == "keep" && answer.pending())
          answer.deliver(interception::accept());
    return interception::accept();
  }};
}

void add_judge(node_config& config, const desk_ptr& notes) {
  config.add_interceptor("judge",
                         [notes](caf::actor_system& system) { return system.spawn(judge, notes); });
}

/// A node with the judge at topics that begin with `o`.
struct court {
  explicit court(std::vector<std::string> flags = {}) : node{how(std::move(flags))} {
    node.start();
    admin.emplace(quiet_client(node));
    admin->create_topic("orders", 1);
  }
  hosting how(std::vector<std::string> flags) {
    flags.emplace_back("--extensions.interceptors=o*=judge");
    hosting result{.env = &env, .flags = std::move(flags)};
    result.extend = [this](node_config& config) { add_judge(config, notes); };
    return result;
  }
  /// @returns the code with which it could not be confirmed; `none`: it was
  ec send(producer& to, const std::string& body, std::string* words = nullptr) {
    try {
      to.send({.key = "k", .headers = {{"own", "1"}}, .body = body});
      return ec::none;
    } catch (const client_error& e) {
      if (words)
        *words = e.what();
      return e.code();
    }
  }
  std::vector<message> consume(std::size_t count) {
    std::vector<message> found;
    auto from = admin->subscribe("orders", "billing");
    while (found.size() < count) {
      auto next = from.next(patience);
      REQUIRE(next);
      from.ack(*next);
      found.push_back(*std::move(next));
    }
    CHECK_FALSE(from.next(0ms));
    from.close();
    return found;
  }
  void expect_balance() {
    CHECK(admin->audit("orders", 0).balances);
    CHECK(admin->alarms().raised.empty());
  }

  fault_env env;
  desk_ptr notes = std::make_shared<desk>();
  hosted_node node;
  std::optional<client> admin;
};

producer_options impatient() {
  producer_options options;
  options.retry = {.retries = 0, .attempt_timeout = 10s, .delivery_timeout = 10s};
  return options;
}

std::string header(const message& m, const std::string& name) {
  for (const auto& [each, value] : m.headers())
    if (each == name)
      return value;
  return {};
}

/// A batch of one message, whose bytes are the same each time.
std::string batch_with(const std::string& body) {
  capnp::MallocMessageBuilder builder;
  auto message = builder.initRoot<format::Batch>().initMessages(1)[0];
  message.setBody(kj::arrayPtr(reinterpret_cast<const kj::byte*>(body.data()), body.size()));
  const auto words = capnp::messageToFlatArray(builder);
  return {words.asChars().begin(), words.asChars().size()};
}

} // namespace

TEST_CASE("an interceptor accepts, changes headers, and rejects with its reason") {
  court c;
  auto to = c.admin->producer("orders", impatient());
  CHECK(c.send(to, "accept one") == ec::none);
  CHECK(c.send(to, "stamp two") == ec::none);
  std::string words;
  CHECK(c.send(to, "reject three", &words) == ec::rejected);
  CHECK(words.find("no such customer") != std::string::npos);
  CHECK(words.find("interceptor judge") != std::string::npos);
  CHECK(c.send(to, "accept four") == ec::none);
  const auto got = c.consume(3);
  CHECK(got[0].body() == "accept one");
  CHECK(header(got[0], "own") == "1");
  CHECK(header(got[0], "checked").empty());
  CHECK(got[1].body() == "stamp two");
  CHECK(got[1].key() == "k");
  CHECK(header(got[1], "own") == "1");
  CHECK(header(got[1], "checked") == "1");
  CHECK(got[2].body() == "accept four");
  CHECK(c.notes->all().front() == "orders k accept");
  c.expect_balance();
}

TEST_CASE("topics without an interceptor are asked about by nobody") {
  court c;
  c.admin->create_topic("letters", 1);
  auto to = c.admin->producer("letters", impatient());
  CHECK(c.send(to, "reject this") == ec::none);
  CHECK(c.notes->all().empty());
}

TEST_CASE("what an interceptor makes of a batch obeys the limits, or the batch is rejected") {
  court c;
  auto to = c.admin->producer("orders", impatient());
  std::string words;
  CHECK(c.send(to, "swell one", &words) == ec::rejected);
  CHECK(words.find("net.message-bytes-max") != std::string::npos);
  CHECK(c.send(to, "nonsense two", &words) == ec::rejected);
  CHECK(words.find("99") != std::string::npos);
  CHECK(c.send(to, "accept three") == ec::none);
  CHECK(c.consume(1)[0].body() == "accept three");
  c.expect_balance();
}

TEST_CASE("a repeat gets its receipt whatever the interceptor says now, also after a restart") {
  court c{{"--partitions.checkpoint-interval=1h"}};
  const auto batch = batch_with("stamp ab");
  std::uint64_t first = 0;
  {
    rpc_peer peer{c.node.port()};
    peer_producer to{peer, "orders", "sender"};
    const auto taken = to.publish(batch);
    REQUIRE(taken.code == ec::none);
    first = taken.first;
    const auto again = to.publish_numbered(1, 0, batch); // it would be stamped otherwise
    CHECK(again.code == ec::none);
    CHECK(again.repeated);
    CHECK(again.first == first);
    CHECK(to.publish_numbered(1, 0, batch_with("stamp cd")).code == ec::number_reused);
    // Rejected or not judged, it is a repeat all the same, or another batch under its number.
    CHECK(to.publish_numbered(1, 0, batch_with("reject a")).code == ec::number_reused);
  }
  c.node.cut_power(1);
  c.node.start();
  rpc_peer peer{c.node.port()};
  peer_producer to{peer, "orders", "sender"};
  const auto again = to.publish_numbered(1, 0, batch);
  CHECK(again.code == ec::none);
  CHECK(again.repeated);
  CHECK(again.first == first);
}

TEST_CASE("what was taken before is confirmed also when the interceptor cannot judge its repeat") {
  court c{{"--extensions.interceptor-timeout=100ms"}};
  const auto keep = batch_with("keep abc");
  rpc_peer peer{c.node.port()};
  peer_producer to{peer, "orders", "sender"};
  auto kept = to.begin(keep);
  auto freed = to.begin(batch_with("free abc")); // while it is asked about, the first is let go
  REQUIRE(kept.wait(peer.scope()).code == ec::none);
  REQUIRE(freed.wait(peer.scope()).code == ec::none);
  const auto again = to.publish_numbered(1, 0, keep); // nobody lets it go now
  CHECK(again.code == ec::none);
  CHECK(again.repeated);
  CHECK(to.publish(batch_with("keep abc")).code == ec::extension_failed);
}

TEST_CASE("an interceptor sees what a compressed batch holds, and a repeat of it is known") {
  court c{{"--partitions.checkpoint-interval=1h"}};
  const auto frame = [](const std::string& word) {
    return *batch_compressor{3}.compress(batch_with(word + " " + std::string(5'000, 'x')));
  };
  const auto stamped = frame("stamp");
  {
    rpc_peer peer{c.node.port()};
    peer_producer to{peer, "orders", "sender"};
    CHECK(to.publish(frame("accept")).first == 0);
    CHECK(to.publish(stamped).first == 1);
    CHECK(to.publish(frame("reject")).code == ec::rejected);
  }
  const auto got = c.consume(2);
  CHECK(got[0].body().starts_with("accept xxx"));
  CHECK(got[1].body() == "stamp " + std::string(5'000, 'x'));
  CHECK(header(got[1], "checked") == "1");
  c.node.cut_power(2);
  c.node.start();
  rpc_peer peer{c.node.port()};
  peer_producer to{peer, "orders", "sender"};
  const auto again = to.publish_numbered(2, 1, stamped);
  CHECK(again.code == ec::none);
  CHECK(again.repeated);
  c.admin.emplace(quiet_client(c.node));
  c.expect_balance();
}

TEST_CASE("a producer's batches keep their order, however the interceptor answers") {
  court c;
  rpc_peer peer{c.node.port()};
  peer_producer to{peer, "orders", "sender"};
  auto first = to.begin(batch_with("keep one"));
  auto second = to.begin(batch_with("accept 2"));
  auto third = to.begin(batch_with("free 333"));
  CHECK(first.wait(peer.scope()).first == 0);
  CHECK(second.wait(peer.scope()).first == 1);
  CHECK(third.wait(peer.scope()).first == 2);
  c.expect_balance();
}

TEST_CASE("an interceptor that does not answer holds up its topic alone, and nothing passes") {
  court c{{"--extensions.interceptor-timeout=50ms"}};
  c.admin->create_topic("letters", 1);
  auto to = c.admin->producer("orders", impatient());
  auto other = c.admin->producer("letters", impatient());
  std::string words;
  CHECK(c.send(to, "sleep one", &words) == ec::extension_failed);
  CHECK(words.find("extensions.interceptor-timeout") != std::string::npos);
  CHECK(comes_true(patience,
                   [&] { return c.node.has_said("ALARM interceptor-late (interceptor judge)"); }));
  CHECK(c.send(other, "sleep one") == ec::none);
  CHECK(c.send(to, "accept two") == ec::none);
  CHECK(comes_true(patience, [&] { return c.node.has_said("interceptor-late is over"); }));
  CHECK(c.consume(1)[0].body() == "accept two");
  c.expect_balance();
}

TEST_CASE("what an interceptor that hangs was asked about is bounded, and asked about no further") {
  court c{{"--extensions.interceptor-timeout=100ms", "--net.message-bytes-max=4000000"}};
  rpc_peer peer{c.node.port()};
  std::deque<peer_producer> senders; // each of them repeats, and has none waiting then
  for (const auto* name : {"one", "two", "three"})
    senders.emplace_back(peer, "orders", name);
  const auto large = batch_with("hoard " + std::string(3'900'000, 'x'));
  constexpr std::size_t room = 17; // of such in 64 MiB
  for (std::size_t i = 0; i < room; ++i)
    REQUIRE(senders[i % senders.size()].publish_numbered(1, 0, large).code == ec::extension_failed);
  REQUIRE(c.notes->all().size() == room);
  for (auto& sender : senders) {
    const auto refused = sender.publish_numbered(1, 0, large);
    CHECK(refused.code == ec::overloaded);
    CHECK(refused.detail.find("interceptor judge") != std::string::npos);
  }
  CHECK(c.notes->all().size() == room);
  // It lets go, and all goes on.
  CHECK(comes_true(patience, [&] {
    return senders[0].publish_numbered(1, 0, batch_with("empty it")).code == ec::none;
  }));
  CHECK(comes_true(patience, [&] {
    return senders[1]
               .publish_numbered(1, 0, batch_with("accept " + std::string(3'900'000, 'x')))
               .code == ec::none;
  }));
}

TEST_CASE("an interceptor that ends is started again, and its batches come again") {
  court c;
  auto to = c.admin->producer("orders", {.retry = {.retries = 20, .interval = 20ms}});
  auto other = c.admin->producer("orders", impatient());
  CHECK(c.send(other, "die at once") == ec::extension_failed);
  CHECK(c.send(to, "accept two") == ec::none); // it may have to be sent twice
  CHECK(comes_true(
      patience, [&] { return c.node.has_said("ALARM extension-restarted (interceptor judge)"); }));
  CHECK(c.consume(1)[0].body() == "accept two");
  CHECK_FALSE(c.node.running().failed());
  c.expect_balance();
}

TEST_CASE("an interceptor that ends again and again is an alarm, and the node goes on") {
  court c{{"--supervision.restarts-max=0", "--supervision.restarts-within=300ms"}};
  c.admin->create_topic("letters", 1);
  auto to = c.admin->producer("orders", impatient());
  CHECK(c.send(to, "die at once") == ec::extension_failed);
  CHECK(comes_true(patience,
                   [&] { return c.node.has_said("ALARM extension-failing (interceptor judge)"); }));
  auto other = c.admin->producer("letters", impatient());
  CHECK(c.send(other, "goes on") == ec::none);
  CHECK_FALSE(c.node.running().failed());
  // It gets another chance, and holds out.
  CHECK(comes_true(patience, [&] { return c.send(to, "accept") == ec::none; }));
  CHECK(comes_true(patience, [&] { return c.node.has_said("extension-failing is over"); }));
}

TEST_CASE("thousands of batches pass an interceptor, each once and in order") {
  court c;
  auto to = c.admin->producer("orders", {.linger = 0ms, .batch_messages_max = 1});
  std::vector<std::future<receipt>> receipts;
  for (int i = 0; i < 3'000; ++i)
    receipts.push_back(to.send_async({.body = "stamp " + std::to_string(i)}));
  for (auto& each : receipts)
    CHECK_NOTHROW(each.get());
  const auto got = c.consume(receipts.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    REQUIRE(got[i].body() == "stamp " + std::to_string(i));
  c.expect_balance();
}

// ---- The start
// -----------------------------------------------------------------------------------

namespace {

result<void> start_with(const std::vector<std::string>& flags) {
  node_config config;
  const auto notes = std::make_shared<desk>();
  add_judge(config, notes);
  return config.read(flags);
}

} // namespace

TEST_CASE("a name or a pattern that is wrong is one sentence before anything starts") {
  const auto refused = [](const std::string& flag) {
    const auto outcome = start_with({flag});
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ec::bad_argument);
    return outcome.error().detail;
  };
  CHECK(refused("--extensions.interceptors=orders=jugde") ==
        "extensions.interceptors names \"jugde\", and this program has registered no such "
        "interceptor; it has registered: judge");
  CHECK_THAT(refused("--extensions.alarm-sinks=pager"),
             Catch::Contains("no such alarm sink; it has registered: none"));
  CHECK_THAT(refused("--extensions.interceptors=orders"), Catch::Contains("TOPIC=NAME"));
  CHECK_THAT(refused("--extensions.interceptors=or ders=judge"), Catch::Contains("TOPIC=NAME"));
  CHECK_THAT(refused("--extensions.letter-listeners=orders=judge"),
             Catch::Contains("TOPIC/GROUP=NAME"));
  CHECK(start_with({"--extensions.interceptors=orders=judge, billing.*=judge"}));
}
