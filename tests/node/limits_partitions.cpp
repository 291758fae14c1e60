// What is remembered of producers, topics and their partitions, and failures of actors, driven to
// their ends.
#include "tests/node/limits_support.hpp"

#include "actors/context.hpp"

namespace waybill::test {

namespace {

/// The error that a call of the library ends with.
template <class Call>
client_error error_of(Call call) {
  try {
    call();
  } catch (const client_error& e) {
    return e;
  }
  return client_error{{ec::none, "no error"}};
}

void expect_limit(const client_error& e, std::string_view key) {
  CHECK(e.code() == ec::limit_reached);
  CHECK(std::string{e.what()}.find(key) != std::string::npos);
}

// ---- Producers ----------------------------------------------------------------------------------

void producers_count() {
  small_house house{{.flags = {flag("producers.producers-max", 3)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  const auto batch = raw_batch(1, 8);
  peer_producer first{peer, "orders", "first"};
  CHECK(first.publish(batch).code == ec::none);
  peer_producer second{peer, "orders", "second"};
  CHECK(second.publish(batch).code == ec::none);
  peer_producer third{peer, "orders", "third"};
  CHECK(third.publish(batch).code == ec::none);
  house.expect_near("producers.producers-max", " of orders#0");
  CHECK(first.publish_numbered(1, 0, batch).repeated); // all three are remembered
  peer_producer fourth{peer, "orders", "fourth"};
  CHECK(fourth.publish(batch).code == ec::none);
  CHECK(first.publish(batch).code == ec::unknown_producer);
  CHECK(second.publish(batch).code == ec::none);
  CHECK(third.publish(batch).code == ec::none);
  peer_producer again{peer, "orders", "first"}; // and forgets the second, the one unused longest
  CHECK(again.publish(batch).code == ec::none);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 7);
  house.finish();
}

void remembered_batches() {
  small_house house{
      {.flags = {flag("producers.remembered-batches", 4), flag("net.in-flight-max", 4)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "forgetful"};
  const auto batch = raw_batch(1, 8);
  for (int i = 0; i < 6; ++i)
    CHECK(to.publish(batch).code == ec::none);
  const auto known = to.publish_numbered(3, 2, batch);
  CHECK(known.repeated);
  CHECK(known.first == 2);
  CHECK(to.publish_numbered(2, 1, batch).code == ec::too_old_to_know);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 6);
  house.finish();
}

/// The least that a configuration may say is a minute; here it is less than the test takes.
void producers_age() {
  small_house house{{.bounds = {{"producers.age-max", limit_value{300ms}}}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  const auto batch = raw_batch(1, 8);
  peer_producer old{peer, "orders", "old"};
  CHECK(old.publish(batch).code == ec::none);
  CHECK(old.publish(batch).code == ec::none);
  peer.until(500ms, [] { return false; });
  peer_producer young{peer, "orders", "young"}; // whoever comes looks who has become too old
  CHECK(old.publish(batch).code == ec::unknown_producer);
  CHECK(young.publish(batch).code == ec::none);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 3);
  house.finish();
}

// ---- Topics and partitions ----------------------------------------------------------------------

void topics() {
  small_house house{{.flags = {flag("partitions.topics-max", 5)}}};
  for (int i = 2; i <= 5; ++i) // the bystander's is the first
    house.admin().create_topic("orders-" + std::to_string(i), 1);
  house.expect_near("partitions.topics-max");
  expect_limit(error_of([&] { house.admin().create_topic("orders-6", 1); }),
               "partitions.topics-max");
  const auto ids = house.send("orders-5", 3);
  house.admin().delete_topic("orders-2");
  house.admin().delete_topic("orders-3");
  house.expect_over("partitions.topics-max");
  CHECK_NOTHROW(house.admin().create_topic("orders-6", 1));
  house.expect_messages("orders-5", "billing", ids);
  house.finish();
}

void partitions_of_a_topic() {
  small_house house{{.flags = {flag("partitions.partitions-max", 4)}}};
  expect_limit(error_of([&] { house.admin().create_topic("orders", 5); }),
               "partitions.partitions-max");
  CHECK(house.admin().list_topics().size() == 1);
  CHECK_NOTHROW(house.admin().create_topic("orders", 4));
  house.expect_messages("orders", "billing", house.send("orders", 8));
  house.finish();
}

void partitions_in_all() {
  small_house house{{.flags = {flag("partitions.partitions-total-max", 10)}}};
  house.admin().create_topic("orders", 8); // and the bystander's
  house.expect_near("partitions.partitions-total-max");
  expect_limit(error_of([&] { house.admin().create_topic("bills", 2); }),
               "partitions.partitions-total-max");
  CHECK_NOTHROW(house.admin().create_topic("bills", 1));
  house.expect_messages("orders", "billing", house.send("orders", 8));
  house.admin().delete_topic("orders");
  house.expect_over("partitions.partitions-total-max");
  CHECK_NOTHROW(house.admin().create_topic("orders", 2));
  house.finish();
}

// ---- Failures -----------------------------------------------------------------------------------

/// Ends the auditor, which is at work only when somebody asks, and waits for the next one.
/// @returns whether there is a next one
bool fail_auditor(small_house& house) {
  auto& registry = house.node().system().registry();
  const auto before = registry.get(role::auditor);
  REQUIRE(before);
  caf::anon_send_exit(caf::actor_cast<caf::actor>(before), caf::exit_reason::kill);
  REQUIRE(comes_true(patience, [&] {
    const auto now = registry.get(role::auditor);
    return house.node().running().failed() || (now && now != before);
  }));
  return !house.node().running().failed();
}

void restarts() {
  small_house house{{.flags = {flag("supervision.restarts-max", 2)}, .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  house.admin().set_group("orders", "billing", {});
  const auto ids = house.send("orders", 10);
  CHECK(fail_auditor(house));
  house.expect_alarm("ALARM actor-restarted (auditor)");
  CHECK(fail_auditor(house));
  CHECK_FALSE(fail_auditor(house));
  const auto failed = house.node().await_failure(patience);
  REQUIRE(failed);
  CHECK(failed->detail.find("supervision.restarts-max") != std::string::npos);
  house.restart();
  house.expect_messages("orders", "billing", ids);
  house.finish();
}

void restarts_within() {
  small_house house{
      {.flags = {flag("supervision.restarts-max", 1), "--supervision.restarts-within=200ms"}}};
  for (int i = 0; i < 4; ++i) {
    CHECK(fail_auditor(house));
    std::this_thread::sleep_for(250ms); // it does not count any more
  }
  CHECK_FALSE(house.node().running().failed());
  house.finish();
}

void restarts_alarm() {
  small_house house{{.flags = {flag("supervision.restarts-alarm", 1)}}};
  CHECK(fail_auditor(house));
  CHECK(fail_auditor(house));
  house.expect_alarm("ALARM restarts-often (auditor)");
  house.finish();
}

// ---- Extensions ---------------------------------------------------------------------------------

template <class Answer>
struct unanswered {
  std::vector<caf::typed_response_promise<Answer>> promises;
};

/// Takes what it is told and never answers.
alarm_sink_actor::behavior_type
deaf_sink(alarm_sink_actor::stateful_pointer<unanswered<done>> self) {
  return {[self](atom::alarm, const alarm_report&) -> caf::result<done> {
    self->state.promises.push_back(self->make_response_promise<done>());
    return self->state.promises.back();
  }};
}

interceptor_actor::behavior_type
deaf_interceptor(interceptor_actor::stateful_pointer<unanswered<interception>> self) {
  return {[self](atom::intercept, const offered_ptr&) -> caf::result<interception> {
    self->state.promises.push_back(self->make_response_promise<interception>());
    return self->state.promises.back();
  }};
}

house_plan with_deaf_sink(std::string bound) {
  house_plan plan{.flags = {"--extensions.alarm-sinks=deaf", std::move(bound)}};
  plan.extend = [](node_config& config) {
    config.add_alarm_sink("deaf",
                          [](caf::actor_system& system) { return system.spawn(deaf_sink); });
  };
  return plan;
}

void listener_timeout() {
  small_house house{with_deaf_sink("--extensions.listener-timeout=50ms")};
  CHECK(fail_auditor(house)); // something to tell
  house.expect_alarm("ALARM sink-behind (deaf): the alarm sink deaf was not told of 1 alarms: "
                     "it did not answer within");
  house.finish();
}

void listener_queue() {
  small_house house{with_deaf_sink(flag("extensions.waiting-max", 1))};
  CHECK(fail_auditor(house)); // it is raised, and over: one of the two finds no room
  house.expect_alarm("ALARM sink-behind (deaf): the alarm sink deaf was not told of 1 alarms: as "
                     "many wait");
  house.finish();
}

redelivery_actor::behavior_type
deaf_policy(redelivery_actor::stateful_pointer<unanswered<redelivery>> self) {
  return {[self](atom::failed, const failed_ptr&) -> caf::result<redelivery> {
    self->state.promises.push_back(self->make_response_promise<redelivery>());
    return self->state.promises.back();
  }};
}

void redelivery_timeout() {
  house_plan plan{.flags = {"--extensions.redelivery-policies=orders/*=deaf",
                            "--extensions.redelivery-timeout=50ms", "--delivery.delay=0ms"}};
  plan.extend = [](node_config& config) {
    config.add_redelivery_policy(
        "deaf", [](caf::actor_system& system) { return system.spawn(deaf_policy); });
  };
  small_house house{std::move(plan)};
  house.admin().create_topic("orders", 1);
  house.send("orders", 1);
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing"};
  from.await(1);
  CHECK(from.nack(0) == ec::none); // by the group's policy
  from.await(2);
  CHECK(from.got()[1].attempt == 2);
  house.expect_alarm("ALARM policy-late (redelivery policy deaf)");
  CHECK(from.ack(0) == ec::none);
  house.finish();
}

void interceptor_timeout() {
  house_plan plan{
      .flags = {"--extensions.interceptors=ord*=deaf", "--extensions.interceptor-timeout=50ms"}};
  plan.extend = [](node_config& config) {
    config.add_interceptor(
        "deaf", [](caf::actor_system& system) { return system.spawn(deaf_interceptor); });
  };
  small_house house{std::move(plan)};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "sender"};
  const auto refused = to.publish(raw_batch(1, 8));
  CHECK(refused.code == ec::extension_failed);
  CHECK(refused.detail.find("extensions.interceptor-timeout") != std::string::npos);
  house.expect_alarm("ALARM interceptor-late (interceptor deaf)");
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 0);
  house.finish();
}

} // namespace

void add_partition_drivers(limit_drivers& to) {
  to["producers.producers-max"] = producers_count;
  to["producers.remembered-batches"] = remembered_batches;
  to["producers.age-max"] = producers_age;
  to["partitions.topics-max"] = topics;
  to["partitions.partitions-max"] = partitions_of_a_topic;
  to["partitions.partitions-total-max"] = partitions_in_all;
  to["supervision.restarts-max"] = restarts;
  to["supervision.restarts-within"] = restarts_within;
  to["supervision.restarts-alarm"] = restarts_alarm;
  to["extensions.redelivery-timeout"] = redelivery_timeout;
  to["extensions.interceptor-timeout"] = interceptor_timeout;
  to["extensions.listener-timeout"] = listener_timeout;
  to["extensions.waiting-max"] = listener_queue;
}

} // namespace waybill::test
