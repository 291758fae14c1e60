// Peers that do not behave: each ends in one clear error or a closed connection, costs bounded
// memory, and another client that works at the same time notices nothing.
#include "net/waybill.capnp.h"
#include "storage/records_codec.hpp"
#include "tests/node/hosted_node.hpp"
#include "tests/node/raw_peer.hpp"
#include "tests/node/traffic.hpp"

#include <capnp/ez-rpc.h>
#include <catch2/catch.hpp>
#include <kj/async-io.h>

#include <cstdio>
#include <random>

#include <dirent.h>
#include <sys/resource.h>

using namespace waybill;
using namespace waybill::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = 1u << 20;

#ifdef __SANITIZE_ADDRESS__
/// What was given back is kept for a while, and all is checked: this is not the node's memory.
constexpr bool memory_counts = false;
// With its answers in memory that is poisoned and checked, each of 30,000 takes 2 ms to be given
// up.
constexpr std::uint64_t long_answers_asked = 4'000;
#else
constexpr bool memory_counts = true;
constexpr std::uint64_t long_answers_asked = 50'000;
#endif

/// A node, and a client that works while others are rude.
class peaceful_house {
public:
  explicit peaceful_house(std::vector<std::string> flags = {})
      : node_{{.directory = directory_.path() + "/node", .flags = std::move(flags)}} {
    node_.start();
    clients_.emplace(traffic_options{.server = node_.server(),
                                     .producers = 2,
                                     .consumers = 1,
                                     .pause = std::chrono::microseconds{1'000}});
    clients_->start();
    REQUIRE(comes_true(20s, [this] { return clients_->consumed() > 50; }));
  }

  [[nodiscard]] std::uint16_t port() const { return node_.port(); }
  [[nodiscard]] hosted_node& node() { return node_; }

  /// Whether the client at work goes on, and has noticed nothing.
  void expect_peace() {
    const auto before = clients_->consumed();
    CHECK(comes_true(20s, [&] { return clients_->consumed() > before + 20; }));
    for (const auto& line : clients_->said())
      FAIL_CHECK("the other client says: " << line);
  }

  void finish() {
    expect_peace();
    clients_->stop_producers();
    CHECK(clients_->await_settled(20s));
    clients_->stop_consumers();
    for (const auto& each : clients_->violations())
      FAIL_CHECK(each);
    for (const auto& each : clients_->violations_of_books())
      FAIL_CHECK(each);
  }

private:
  temporary_directory directory_;
  hosted_node node_;
  std::optional<traffic> clients_;
};

/// The most memory that the process has had in use since it began, above what it had then.
class memory_watch {
public:
  explicit memory_watch(const char* what) : what_{what} {}
  void look() { most_ = std::max(most_, resident_bytes()); }
  std::uint64_t growth() {
    look();
    const auto grown = most_ > before_ ? most_ - before_ : 0;
    std::printf("  %-42s resident %4llu MiB before, %4llu MiB at most\n", what_,
                static_cast<unsigned long long>(before_ / mib),
                static_cast<unsigned long long>(most_ / mib));
    return memory_counts ? grown : 0;
  }

private:
  const char* what_;
  std::uint64_t before_ = resident_bytes();
  std::uint64_t most_ = before_;
};

/// Little-endian 32-bit numbers, as a segment table is made of.
std::string numbers(std::initializer_list<std::uint32_t> values) {
  std::string bytes;
  for (auto value : values)
    for (int i = 0; i < 4; ++i, value >>= 8)
      bytes.push_back(static_cast<char>(value));
  return bytes;
}

/// A peer that is logged in and has opened a producer, without having read a byte.
struct raw_producer {
  raw_producer(std::uint16_t port, const std::string& topic, const std::string& name) : peer{port} {
    peer.send(calls.bootstrap(), 1s);
    peer.send(calls.login(0), 1s);
    peer.send(calls.open_producer(1, topic, name), 1s);
  }
  raw_peer peer;
  raw_calls calls;
  static constexpr std::uint32_t session = 1, producer = 2; ///< the questions that answer them
};

/// A session over the RPC library, for calls whose answers are looked at.
struct plain_session {
  explicit plain_session(std::uint16_t port)
      : rpc{"127.0.0.1", port}, depot{rpc.getMain<wire::Depot>()}, session{log_in()} {}
  wire::Session::Client log_in() {
    auto request = depot.loginRequest();
    request.setVersion(wire::PROTOCOL_VERSION);
    return request.send().wait(rpc.getWaitScope()).getOutcome().getOk().getSession();
  }
  wire::Producer::Client open(const std::string& topic, const std::string& name) {
    auto request = session.openProducerRequest();
    request.setTopic(topic);
    request.setName(name);
    request.setInstance(7);
    request.setTakeOver(true);
    return request.send().wait(rpc.getWaitScope()).getOutcome().getOk().getProducer();
  }
  auto publish(wire::Producer::Client& to, std::uint64_t number, const std::string& batch) {
    auto request = to.publishRequest();
    request.setNumber(number);
    request.setPrevious(number - 1);
    request.setBatch({reinterpret_cast<const kj::byte*>(batch.data()), batch.size()});
    return request.send();
  }
  capnp::EzRpcClient rpc;
  wire::Depot::Client depot;
  wire::Session::Client session;
};

std::size_t open_files() {
  std::size_t count = 0;
  if (auto* directory = ::opendir("/proc/self/fd")) {
    while (::readdir(directory))
      ++count;
    ::closedir(directory);
  }
  return count;
}

} // namespace

TEST_CASE("bytes that are no message end their connection") {
  peaceful_house house;
  std::mt19937_64 random{drawn_seed()};
  memory_watch memory{"garbage and impossible segment tables"};
  for (int round = 0; round < 50; ++round) {
    std::string garbage(1 + random() % 4'096, '\0');
    for (auto& c : garbage)
      c = static_cast<char>(random());
    raw_peer peer{house.port()};
    peer.send(garbage, 1s);
    memory.look();
  }
  for (const auto& table :
       {numbers({0xffff'fffe}), numbers({511, 1, 1, 1}), numbers({0, 0x7fff'ffff}),
        numbers({2, 0x1fff'ffff, 0x1fff'ffff, 0x1fff'ffff}), numbers({0, 0x0100'0000})}) {
    raw_peer peer{house.port()};
    peer.send(table + std::string(4'096, '\x7f'), 1s);
    CHECK(peer.is_closed_within(15s));
    memory.look();
  }
  CHECK(memory.growth() < 128 * mib);
  house.finish();
}

TEST_CASE("who does not log in, or stops amid a message before, is not waited for") {
  peaceful_house house{{"--net.login-timeout=500ms"}};
  raw_peer silent{house.port()};
  raw_peer half{house.port()};
  raw_calls calls;
  half.send(calls.bootstrap(), 1s);
  const auto bytes = calls.login(0);
  half.send(bytes.substr(0, bytes.size() - 9), 1s);
  CHECK(silent.is_closed_within(10s));
  CHECK(half.is_closed_within(10s));
  house.finish();
}

TEST_CASE("a peer that vanishes amid a publish has published nothing, or all of it") {
  peaceful_house house;
  client admin{house.node().server()};
  admin.create_topic("half", 1);
  const auto batch = raw_batch(10, 300'000);
  for (std::uint64_t i = 0; i < 20; ++i) {
    raw_producer rude{house.port(), "half", "vanishing-" + std::to_string(i)};
    const auto call = rude.calls.publish(raw_producer::producer, 0, 1, 0, batch);
    rude.peer.send(std::string_view{call}.substr(0, call.size() * i / 20), 2s);
    if (i % 2 == 0)
      rude.peer.vanish();
  }
  const auto books = admin.audit("half", 0);
  CHECK(books.balances);
  CHECK(books.confirmed % 10 == 0);
  house.finish();
}

TEST_CASE("connections by the hundred that come and go leave nothing behind") {
  peaceful_house house;
  auto& registry = house.node().system().registry();
  const auto actors = registry.running();
  const auto files = open_files();
  memory_watch memory{"200 connections, logged in or not"};
  {
    std::vector<raw_peer> peers;
    for (int i = 0; i < 200; ++i) {
      auto& peer = peers.emplace_back(house.port());
      raw_calls calls;
      if (i % 2 != 0)
        continue;
      peer.send(calls.bootstrap(), 1s);
      peer.send(calls.login(0), 1s);
    }
    memory.look();
    for (std::size_t i = 0; i < peers.size(); i += 3)
      peers[i].vanish();
  }
  CHECK(comes_true(15s, [&] { return open_files() <= files + 2; }));
  CHECK(comes_true(15s, [&] { return registry.running() <= actors; }));
  CHECK(memory.growth() < 64 * mib);
  house.finish();
}

TEST_CASE("a login that is sent many times over leaves no session behind") {
  peaceful_house house;
  auto& registry = house.node().system().registry();
  const auto actors = registry.running();
  {
    raw_peer peer{house.port()};
    raw_calls calls;
    auto bytes = calls.bootstrap();
    for (int i = 0; i < 500; ++i)
      bytes += calls.login(0);
    peer.send(bytes, 2s);
    house.expect_peace();
  }
  CHECK(comes_true(15s, [&] { return registry.running() <= actors; }));
  house.finish();
}

// To look at an object's type, the sanitizer opens a pipe; where there are no descriptors left, it
// takes that for an object of another type and ends the process.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a node that has run out of file descriptors serves again when there are some") {
  peaceful_house house;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  auto fewer = before;
  fewer.rlim_cur = open_files() + 41;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &fewer) == 0);
  std::vector<raw_peer> peers;
  try {
    for (int i = 0; i < 100; ++i)
      peers.emplace_back(house.port());
  } catch (const std::runtime_error&) {
    // There are none left for this side either.
  }
  std::this_thread::sleep_for(200ms); // the node tries to accept what it cannot
  peers.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  client_options quiet{.call_timeout = milliseconds{5'000}};
  quiet.log = [](const std::string&) {};
  client later{house.node().server(), quiet};
  CHECK_NOTHROW(later.list_topics());
  house.finish();
}
#endif

TEST_CASE("a consumer that answers no delivery holds what it was sent, and no more comes") {
  peaceful_house house;
  client admin{house.node().server()};
  admin.create_topic("deaf", 1);
  auto sender = admin.producer("deaf");
  for (int i = 0; i < 4'000; ++i)
    sender.send_async({.body = std::string(10'000, 'x')});
  sender.flush();
  memory_watch memory{"a consumer that answers no delivery"};
  {
    struct deaf_receiver final : wire::Receiver::Server {
      explicit deaf_receiver(std::size_t& c) : calls{c} {}
      kj::Promise<void> deliver(DeliverContext) override {
        ++calls;
        return kj::NEVER_DONE;
      }
      kj::Promise<void> ended(EndedContext) override { return kj::READY_NOW; }
      std::size_t& calls;
    };
    plain_session peer{house.port()};
    std::size_t calls = 0;
    auto request = peer.session.subscribeRequest();
    request.setTopic("deaf");
    request.setGroup("deaf");
    request.setConsumer("deaf");
    request.setCreditMessages(100'000);
    request.setCreditBytes(200 * mib);
    request.setReceiver(kj::heap<deaf_receiver>(calls));
    const auto subscribed = request.send().wait(peer.rpc.getWaitScope());
    CHECK(subscribed.getOutcome().isOk());
    peer.rpc.getIoProvider().getTimer().afterDelay(2 * kj::SECONDS).wait(peer.rpc.getWaitScope());
    CHECK(calls == 8);
    house.expect_peace();
  }
  CHECK(memory.growth() < 160 * mib);
  // What it held is free again, at once.
  std::size_t got = 0;
  auto from = admin.subscribe("deaf", "deaf");
  for (auto m = from.next(10s); m; m = got < 4'000 ? from.next(10s) : std::nullopt) {
    from.ack(*m);
    ++got;
  }
  CHECK(got == 4'000);
  from.close();
  house.finish();
}

TEST_CASE("a flood of calls whose answers nobody reads is not taken in without an end") {
  peaceful_house house;
  client{house.node().server()}.create_topic("flood", 1);
  const auto tiny = raw_batch(1, 8);
  SECTION("publishes that are refused") {
    memory_watch memory{"a flood of refused publishes"};
    raw_producer rude{house.port(), "flood", "flooding"};
    std::uint64_t taken = 0;
    for (std::uint64_t i = 1; i < 400'000; ++i) {
      const auto call = rude.calls.publish(raw_producer::producer, 99, i, i - 1, tiny);
      if (rude.peer.send(call, 1s) < call.size())
        break;
      ++taken;
      if (i % 10'000 == 0)
        memory.look();
    }
    std::printf("  %llu calls were taken\n", static_cast<unsigned long long>(taken));
    CHECK(taken > 1'000);
    CHECK(memory.growth() < 96 * mib);
    house.expect_peace();
  }
  SECTION("large publishes") {
    memory_watch memory{"a flood of large publishes"};
    raw_producer rude{house.port(), "flood", "flooding"};
    const auto large = raw_batch(10, 100'000);
    std::uint64_t taken = 0;
    for (std::uint64_t i = 1; i < 300; ++i) {
      const auto call = rude.calls.publish(raw_producer::producer, 0, i, i - 1, large);
      if (rude.peer.send(call, 5s) < call.size())
        break;
      ++taken;
      memory.look();
    }
    std::printf("  %llu calls of 1 MB were taken\n", static_cast<unsigned long long>(taken));
    CHECK(taken > 30);
    CHECK(memory.growth() < 384 * mib);
    house.expect_peace();
  }
  SECTION("questions with long answers") {
    client admin{house.node().server()};
    for (int i = 0; i < 100; ++i)
      admin.create_topic("one-of-many-topics-" + std::to_string(i), 1);
    memory_watch memory{"a flood of questions with long answers"};
    raw_producer rude{house.port(), "flood", "flooding"};
    std::uint64_t taken = 0;
    for (std::uint64_t i = 1; i < long_answers_asked; ++i) {
      const auto call = rude.calls.list_topics(raw_producer::session);
      if (rude.peer.send(call, 1s) < call.size())
        break;
      ++taken;
      if (i % 1'000 == 0)
        memory.look();
    }
    std::printf("  %llu questions were taken\n", static_cast<unsigned long long>(taken));
    CHECK(taken > 100);
    CHECK(memory.growth() < 384 * mib);
    house.expect_peace();
  }
  house.finish();
}

TEST_CASE("what is too large or malformed is refused by name, and the producer goes on") {
  peaceful_house house{{"--net.batch-messages-max=100"}};
  client{house.node().server()}.create_topic("large", 1);
  plain_session peer{house.port()};
  auto producer = peer.open("large", "large");
  auto& scope = peer.rpc.getWaitScope();
  const auto code = [&](const std::string& batch) {
    const auto answer = peer.publish(producer, 1, batch).wait(scope);
    const auto outcome = answer.getOutcome();
    if (outcome.isOk())
      return wire::ErrorCode::NONE;
    CHECK(outcome.getError().getDetail().size() > 20);
    return outcome.getError().getCode();
  };
  CHECK(code(raw_batch(1, 2 * mib)) == wire::ErrorCode::MESSAGE_TOO_LARGE);
  CHECK(code(raw_batch(5, 1'000'000)) == wire::ErrorCode::BATCH_TOO_LARGE);
  CHECK(code(raw_batch(101, 8)) == wire::ErrorCode::LIMIT_REACHED);
  CHECK(code(raw_batch(0, 0)) == wire::ErrorCode::MALFORMED_BATCH);
  CHECK(code("") == wire::ErrorCode::MALFORMED_BATCH);
  CHECK(code(std::string(4'000, '\x5a')) == wire::ErrorCode::MALFORMED_BATCH);
  CHECK(code(raw_batch(3, 100)) == wire::ErrorCode::NONE);
  house.finish();
}

TEST_CASE("a call after its object was closed is answered") {
  peaceful_house house;
  client{house.node().server()}.create_topic("closed", 1);
  plain_session peer{house.port()};
  auto& scope = peer.rpc.getWaitScope();
  auto& timer = peer.rpc.getIoProvider().getTimer();
  auto producer = peer.open("closed", "closed");
  auto before = peer.publish(producer, 1, raw_batch(1, 8));
  auto closing = producer.closeRequest().send();
  auto after = peer.publish(producer, 2, raw_batch(1, 8));
  auto again = producer.closeRequest().send();
  CHECK_NOTHROW(timer.timeoutAfter(5 * kj::SECONDS, kj::mv(before)).wait(scope));
  CHECK_NOTHROW(timer.timeoutAfter(5 * kj::SECONDS, kj::mv(closing)).wait(scope));
  CHECK_NOTHROW(timer.timeoutAfter(5 * kj::SECONDS, kj::mv(after)).wait(scope));
  CHECK_NOTHROW(timer.timeoutAfter(5 * kj::SECONDS, kj::mv(again)).wait(scope));
  house.finish();
}
