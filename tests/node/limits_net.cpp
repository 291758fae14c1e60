// What clients may send, driven to its end.
#include "tests/node/limits_support.hpp"

namespace waybill::test {

namespace {

constexpr std::uint64_t kib = 1u << 10;

void message_bytes() {
  small_house house{{.flags = {flag("net.message-bytes-max", kib)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "large"};
  const auto refused = to.publish_numbered(1, 0, raw_batch(1, 1'025));
  CHECK(refused.code == ec::message_too_large);
  CHECK(refused.detail.find("net.message-bytes-max") != std::string::npos);
  CHECK(to.publish(raw_batch(1, 1'000)).code ==
        ec::none); // under the same number: nothing was taken
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 1);
  house.finish();
}

void batch_bytes() {
  small_house house{
      {.flags = {flag("net.message-bytes-max", kib), flag("net.batch-bytes-max", 8 * kib)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "large"};
  const auto refused = to.publish_numbered(1, 0, raw_batch(9, 1'000));
  CHECK(refused.code == ec::batch_too_large);
  CHECK(refused.detail.find("net.batch-bytes-max") != std::string::npos);
  CHECK(to.publish(raw_batch(7, 1'000)).code == ec::none);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 7);
  house.finish();
}

void batch_messages() {
  small_house house{{.flags = {flag("net.batch-messages-max", 3)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "many"};
  const auto refused = to.publish_numbered(1, 0, raw_batch(4, 8));
  CHECK(refused.code == ec::limit_reached);
  CHECK(refused.detail.find("net.batch-messages-max") != std::string::npos);
  CHECK(to.publish(raw_batch(3, 8)).code == ec::none);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 3);
  house.finish();
}

void connections() {
  small_house house{{.flags = {flag("net.connections-max", 5)}}};
  house.admin().list_topics(); // its connection is one of them, and the bystander's another
  std::vector<raw_peer> peers;
  while (peers.size() < 3)
    peers.emplace_back(house.port());
  house.expect_near("net.connections-max");
  raw_peer further{house.port()};
  CHECK(further.is_closed_within(patience));
  CHECK(house.node().has_said("connections are refused: net.connections-max"));
  CHECK_NOTHROW(house.admin().list_topics());
  for (auto& each : peers)
    CHECK_FALSE(each.is_closed_within(1ms));
  peers.clear();
  house.expect_over("net.connections-max");
  CHECK_NOTHROW(rpc_peer{house.port()});
  house.finish();
}

/// Asked for all at once, as a client can that does not wait for answers.
void sessions() {
  small_house house{{.flags = {flag("net.sessions-max", 3)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  std::vector<kj::Promise<bool>> answers;
  std::vector<wire::Producer::Client> open;
  for (int i = 0; i < 5; ++i) {
    auto request = peer.session().openProducerRequest();
    request.setTopic("orders");
    request.setName("producer-" + std::to_string(i));
    request.setInstance(7);
    request.setTakeOver(true);
    answers.push_back(request.send().then([&open](auto&& response) {
      auto outcome = response.getOutcome();
      if (outcome.isOk()) {
        open.push_back(outcome.getOk().getProducer());
        return true;
      }
      CHECK(outcome.getError().getCode() == wire::ErrorCode::LIMIT_REACHED);
      CHECK(std::string{outcome.getError().getDetail().cStr()}.find("net.sessions-max") !=
            std::string::npos);
      return false;
    }));
  }
  std::size_t opened = 0;
  for (auto& each : answers)
    opened += each.wait(peer.scope()) ? 1 : 0;
  CHECK(opened == 3);
  // One that is closed makes room for another.
  open.back().closeRequest().send().wait(peer.scope());
  peer_consumer from{peer, "orders", "billing"};
  CHECK(from.refused() == ec::none);
  CHECK(peer_consumer{peer, "orders", "billing"}.refused() == ec::limit_reached);
  house.finish();
}

void in_flight() {
  small_house house{{.flags = {flag("net.in-flight-max", 4)}, .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "hasty"};
  house.hold_disk();
  std::vector<kj::Promise<publish_answer>> answers;
  for (int i = 0; i < 4; ++i)
    answers.push_back(to.begin(raw_batch(1, 8)));
  const auto refused = to.publish_numbered(5, 4, raw_batch(1, 8));
  CHECK(refused.code == ec::overloaded);
  CHECK(refused.detail.find("net.in-flight-max") != std::string::npos);
  house.let_disk_go();
  for (auto& each : answers)
    CHECK(each.wait(peer.scope()).code == ec::none);
  CHECK(to.publish(raw_batch(1, 8)).code == ec::none); // the one that was refused
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 5);
  house.finish();
}

/// Each call is answered late and none of the answers is read: what the node has taken by then is
/// this bound, and what lies in the sockets of the machine.
void connection_bytes() {
  small_house house{
      {.flags = {flag("net.message-bytes-max", 8 * kib), flag("net.batch-bytes-max", 16 * kib),
                 flag("net.connection-bytes-max", 64 * kib)},
       .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  raw_peer peer{house.port()};
  raw_calls calls;
  peer.send(calls.bootstrap(), 1s);
  peer.send(calls.login(0), 1s);
  peer.send(calls.open_producer(1, "orders", "deaf"), 1s);
  std::this_thread::sleep_for(100ms); // it is open
  house.hold_disk();
  constexpr std::uint64_t count = 4'000; // 32 MiB
  const auto batch = raw_batch(1, 8'000);
  std::string rest;
  std::uint64_t sent = 0;
  while (sent < count && rest.empty()) {
    ++sent;
    const auto call = calls.publish(2, 0, sent, sent - 1, batch);
    const auto taken = peer.send(call, 300ms);
    rest = call.substr(taken);
  }
  CHECK(sent > 8);
  CHECK(sent < count);
  // With more calls taken than may be in flight, some would have been refused.
  house.let_disk_go();
  CHECK(peer.send(rest, 5s) == rest.size());
  CHECK(comes_true(patience, [&] {
    return house.admin().describe_topic("orders").partitions[0].held_messages == sent;
  }));
  house.finish();
}

void login_timeout() {
  small_house house{{.flags = {"--net.login-timeout=1s"}}};
  raw_peer silent{house.port()};
  rpc_peer prompt{house.port()};
  CHECK(silent.is_closed_within(patience));
  prompt.until(1'100ms, [] { return false; });
  CHECK_NOTHROW(prompt.session().listTopicsRequest().send().wait(prompt.scope()));
  house.finish();
}

} // namespace

void add_net_drivers(limit_drivers& to) {
  to["net.message-bytes-max"] = message_bytes;
  to["net.batch-bytes-max"] = batch_bytes;
  to["net.batch-messages-max"] = batch_messages;
  to["net.connections-max"] = connections;
  to["net.sessions-max"] = sessions;
  to["net.in-flight-max"] = in_flight;
  to["net.connection-bytes-max"] = connection_bytes;
  to["net.login-timeout"] = login_timeout;
}

} // namespace waybill::test
