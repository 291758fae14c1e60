// Listeners, redelivery policies and sinks in a node: they work, and one that is slow, ends or is
// flooded takes nothing down with it: what it was to hear is counted, what it was to decide goes by
// the group's own policy.
#include "tests/node/extension_desk.hpp"

#include <catch2/catch.hpp>

using namespace waybill;
using namespace waybill::test;

// ---- Dead letters -------------------------------------------------------------------------------

namespace {

struct undertaker_state {
  caf::typed_response_promise<done> kept;
};

/// Writes down what it is told; ends at the body `die`, and never answers the body `sleep`.
letter_listener_actor::behavior_type
undertaker(letter_listener_actor::stateful_pointer<undertaker_state> self, const desk_ptr& notes) {
  return {[self, notes](atom::letter, const buried_ptr& what) -> caf::result<done> {
    const auto message = read_message(what->letter.message);
    REQUIRE(message);
    const std::string body{message->body};
    if (body == "die") {
      self->quit(caf::make_error(ec::internal));
      return caf::make_error(ec::internal);
    }
    if (body == "sleep")
      return self->state.kept = self->make_response_promise<done>();
    notes->add(what->topic + "/" + what->group + " " + body + " " + what->letter.reason);
    return done{};
  }};
}

struct graveyard {
  explicit graveyard(std::vector<std::string> flags) : node{how(std::move(flags))} {
    node.start();
    admin.emplace(quiet_client(node));
    admin->create_topic("orders", 1);
  }
  hosting how(std::vector<std::string> flags) {
    flags.emplace_back("--extensions.letter-listeners=orders/*=undertaker");
    hosting result{.env = &env, .flags = std::move(flags)};
    result.extend = [this](node_config& config) {
      config.add_letter_listener("undertaker", [notes = notes](caf::actor_system& system) {
        return system.spawn(undertaker, notes);
      });
    };
    return result;
  }
  void bury(const std::vector<std::string>& bodies) {
    policy_change once;
    once.attempts_max = 1;
    admin->set_group("orders", "billing", once);
    auto to = admin->producer("orders");
    for (const auto& each : bodies)
      to.send(each);
    auto from = admin->subscribe("orders", "billing");
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      const auto next = from.next(patience);
      REQUIRE(next);
      from.nack(*next, "no use");
    }
    from.flush();
    from.close();
  }
  [[nodiscard]] std::uint64_t held() {
    return admin->list_groups("orders").front().partitions.front().dead;
  }

  fault_env env;
  desk_ptr notes = std::make_shared<desk>();
  hosted_node node;
  std::optional<client> admin;
};

} // namespace

TEST_CASE("a listener is told of each dead letter, with its message and its reason") {
  graveyard g{{}};
  g.bury({"one", "two"});
  CHECK(g.notes->has("orders/billing one no use"));
  CHECK(g.notes->has("orders/billing two no use"));
  CHECK(g.held() == 2);
}

TEST_CASE("a listener that ends or is slow misses what is counted, and the letters stay") {
  graveyard g{{"--extensions.listener-timeout=50ms"}};
  g.bury({"die", "one", "sleep", "two"});
  CHECK(g.notes->has("orders/billing two no use"));
  CHECK(g.notes->has("orders/billing one no use"));
  CHECK(comes_true(patience, [&] {
    return g.node.has_said("ALARM sink-behind (dead-letter listener undertaker)");
  }));
  CHECK(comes_true(patience, [&] { return g.node.has_said("sink-behind is over"); }));
  CHECK(g.held() == 4);
  CHECK(g.admin->audit("orders", 0).balances);
}

TEST_CASE("a flood of dead letters finds a listener's queue bounded") {
  graveyard g{{flag("extensions.waiting-max", 2)}};
  std::vector<std::string> bodies{"sleep"};
  for (int i = 0; i < 50; ++i)
    bodies.push_back(std::to_string(i));
  g.bury(bodies);
  CHECK(comes_true(patience, [&] { return g.node.has_said("as many wait for it"); }));
  CHECK(g.held() == 51);
}

TEST_CASE("what a listener that hangs was told or is to be told is bounded in bytes") {
  graveyard g{{"--net.message-bytes-max=15MiB", "--net.batch-bytes-max=16MiB",
               "--extensions.listener-timeout=10min"}};
  std::vector<std::string> bodies{"sleep"};
  for (int i = 0; i < 5; ++i) // the fifth is too much
    bodies.emplace_back(14u << 20, 'x');
  g.bury(bodies);
  CHECK(comes_true(patience, [&] {
    return g.node.has_said("was not told of 1 dead letters: those that it has in hand");
  }));
  CHECK(g.held() == bodies.size());
}

// ---- Redelivery ---------------------------------------------------------------------------------

namespace {

struct patient_state {
  std::vector<caf::typed_response_promise<redelivery>> kept;
};

/// Does what the consumer's reason says.
redelivery_actor::behavior_type patient(redelivery_actor::stateful_pointer<patient_state> self,
                                        const desk_ptr& notes) {
  return {[self, notes](atom::failed, const failed_ptr& what) -> caf::result<redelivery> {
    notes->add(what->topic + "/" + what->group + " " + std::to_string(what->offset.value) + " " +
               std::to_string(what->attempt) + "/" + std::to_string(what->attempts_max) + " " +
               what->reason);
    if (what->reason == "bury")
      return redelivery::bury();
    if (what->reason == "soon")
      return redelivery::again(milliseconds{1});
    if (what->reason == "die")
      self->quit(caf::make_error(ec::internal));
    if (what->reason == "free") { // what was kept is to be buried
      for (auto& each : self->state.kept)
        each.deliver(redelivery::bury());
      self->state.kept.clear();
      return redelivery::again(std::chrono::hours{1});
    }
    self->state.kept.push_back(self->make_response_promise<redelivery>());
    return self->state.kept.back();
  }};
}

/// A group whose own policy waits an hour, or as long as the flags say.
struct ward {
  explicit ward(std::vector<std::string> flags) : node{how(std::move(flags))} {
    node.start();
    admin.emplace(quiet_client(node));
    admin->create_topic("orders", 1);
    admin->producer("orders").send(std::string{"one"});
    from.emplace(admin->subscribe("orders", "billing"));
  }
  hosting how(std::vector<std::string> flags) {
    flags.emplace_back("--extensions.redelivery-policies=*/billing=patient");
    hosting result{.env = &env, .flags = std::move(flags)};
    result.extend = [this](node_config& config) {
      config.add_redelivery_policy("patient", [notes = notes](caf::actor_system& system) {
        return system.spawn(patient, notes);
      });
    };
    return result;
  }
  message next() {
    auto found = from->next(patience);
    REQUIRE(found);
    return *std::move(found);
  }
  [[nodiscard]] group_partition_info state() {
    return admin->list_groups("orders").front().partitions.front();
  }

  fault_env env;
  desk_ptr notes = std::make_shared<desk>();
  hosted_node node;
  std::optional<client> admin;
  std::optional<consumer> from;
};

const std::vector<std::string> an_hour{"--delivery.delay=1h", "--delivery.delay-max=1h"};

} // namespace

TEST_CASE("a redelivery policy says when a message comes again, and when it is dead") {
  ward w{an_hour};
  w.from->nack(w.next(), "soon");
  const auto again = w.next(); // long before the hour
  CHECK(again.attempt() == 2);
  w.from->nack(again, "bury");
  CHECK(comes_true(patience, [&] { return w.state().dead == 1; }));
  CHECK(w.notes->all() ==
        std::vector<std::string>{"orders/billing 0 1/16 soon", "orders/billing 0 2/16 bury"});
  std::vector<dead_letter_info> dead;
  w.admin->list_dead_letters("orders", "billing", 0, {}, false, [&](const auto& letter) {
    dead.push_back(letter);
    return true;
  });
  REQUIRE(dead.size() == 1);
  CHECK(dead[0].attempts == 2);
  CHECK(dead[0].reason == "bury");
  SECTION("and a restart asks nobody about it again") {
    w.from.reset();
    w.node.cut_power(3);
    w.node.start();
    w.admin.emplace(quiet_client(w.node));
    CHECK(w.state().dead == 1);
    CHECK(w.notes->all().size() == 2);
  }
  CHECK(w.admin->audit("orders", 0).balances);
}

TEST_CASE("where a redelivery policy is slow or ends, the group's own policy counts") {
  ward w{{"--delivery.delay=1ms", "--extensions.redelivery-timeout=50ms"}};
  w.from->nack(w.next(), "sleep");
  const auto second = w.next();
  CHECK(second.attempt() == 2);
  w.from->nack(second, "die");
  const auto third = w.next();
  CHECK(third.attempt() == 3);
  CHECK(comes_true(patience, [&] {
    return w.node.has_said("ALARM extension-restarted (redelivery policy patient)");
  }));
  w.from->ack(third);
  CHECK(w.from->flush() == 0);
  CHECK(w.state().acked == 1);
  CHECK(w.admin->audit("orders", 0).balances);
}

TEST_CASE("a consumer that goes while a policy is asked has failed all the same") {
  ward w{{"--delivery.delay=1ms", "--extensions.redelivery-timeout=1min"}};
  w.from->nack(w.next(), "sleep");
  CHECK(w.notes->has("orders/billing 0 1/16 sleep"));
  w.from->close();
  w.from.emplace(w.admin->subscribe("orders", "billing"));
  CHECK(w.next().attempt() == 2);
}

TEST_CASE("a consumer that vanishes while a policy is asked gets nothing more") {
  ward w{
      {"--delivery.delay=1h", "--delivery.delay-max=1h", "--extensions.redelivery-timeout=1min"}};
  w.from->close();
  w.admin->producer("orders").send(std::string{"two"});
  {
    rpc_peer peer{w.node.port()};
    peer_consumer from{peer, "orders", "billing", 1};
    from.await(1);
    const auto asked = from.begin_nack(0, -1, "sleep");
    peer.send_out();
    REQUIRE(w.notes->has("orders/billing 0 1/16 sleep"));
  }
  w.from.emplace(w.admin->subscribe("orders", "billing"));
  const auto other = w.next(); // the first one waits for its hour
  CHECK(other.body() == "two");
  CHECK(other.attempt() == 1);
}

TEST_CASE("what a policy says late of one delivery does not touch the next one") {
  ward w{{"--extensions.redelivery-timeout=1min"}};
  w.from->close();
  w.admin->set_group("orders", "keeper", {}); // what it has not settled may be opened again
  w.admin->producer("orders").send(std::string{"two"});
  rpc_peer peer{w.node.port()};
  peer_consumer from{peer, "orders", "billing"};
  from.await(2);
  auto late = from.begin_nack(0, -1, "keep");
  peer.send_out();
  REQUIRE(w.notes->has("orders/billing 0 1/16 keep"));
  w.admin->seek_group("orders", "billing", 0, {.where = seek_to::kind::latest});
  CHECK(w.admin->seek_group("orders", "billing", 0, {}).reopened == 2);
  from.await(4);
  CHECK(from.got()[2].attempt == 1); // the same consumer, and the same attempt
  CHECK(from.nack(1, -1, "free") == ec::none);
  CHECK(late.wait(peer.scope()) == ec::lease_lost);
  CHECK(w.state().dead == 0);
  CHECK(from.ack(0) == ec::none);
  CHECK(w.admin->audit("orders", 0).balances);
}

// ---- Alarm sinks, and the start -----------------------------------------------------------------

namespace {

alarm_sink_actor::behavior_type pager(alarm_sink_actor::pointer, const desk_ptr& notes) {
  return {[notes](atom::alarm, const alarm_report& report) {
    notes->add((report.raised ? "" : "over ") + report.name + " " + report.subject);
    return done{};
  }};
}

} // namespace

TEST_CASE("a sink of one's own is told of alarms as the log is") {
  fault_env env;
  const auto notes = std::make_shared<desk>();
  std::atomic<std::uint64_t> free{0};
  hosting how{.env = &env,
              .flags = {"--extensions.alarm-sinks=pager", "--storage.disk-free-min=1000"}};
  how.disk_free = [&] { return free.load(); };
  how.extend = [&](node_config& config) {
    config.add_alarm_sink(
        "pager", [notes](caf::actor_system& system) { return system.spawn(pager, notes); });
  };
  hosted_node node{how};
  node.start();
  CHECK(notes->has("disk-full storage.disk-free-min"));
  CHECK(quiet_client(node).alarms().raised.size() >= 1);
  free = 1'000'000;
  CHECK(notes->has("over disk-full storage.disk-free-min"));
}
