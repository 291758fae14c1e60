// The fake depot's loop: a thread, its port, and the connections to it. For its two sources alone.
#pragma once

#include "net/waybill.capnp.h"
#include "tests/support/fake_depot_state.hpp"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include <future>
#include <list>
#include <thread>

namespace waybill::testing {

/// All that lives on the loop.
struct fake_depot::server : kj::TaskSet::ErrorHandler {
  class depot;
  class session;
  class producer;
  class subscription;
  struct connection {
    kj::Own<kj::AsyncIoStream> stream;
    kj::Own<capnp::TwoPartyVatNetwork> network;
    kj::Own<capnp::RpcSystem<capnp::rpc::twoparty::VatId>> rpc;
  };

  explicit server(fake_depot::state& s) : memory{s} {
    std::promise<void> ready;
    thread = std::thread{[this, &ready] { run(ready); }};
    ready.get_future().wait();
  }
  ~server() {
    call([this] { end->fulfill(); });
    thread.join();
  }

  void run(std::promise<void>& ready) {
    auto io = kj::setupAsyncIo();
    kj::TaskSet all{*this};
    tasks = &all;
    network = &io.provider->getNetwork();
    timer = &io.provider->getTimer();
    auto ending = kj::newPromiseAndFulfiller<void>();
    end = kj::mv(ending.fulfiller);
    executor = kj::getCurrentThreadExecutor().addRef();
    listen(io.waitScope);
    tick();
    ready.set_value();
    ending.promise.wait(io.waitScope);
    accepting = nullptr;
    listener = nullptr;
    connections.clear();
  }

  void listen(kj::WaitScope& scope) {
    auto address = network->parseAddress("127.0.0.1", port).wait(scope);
    begin(*address);
  }
  void begin(kj::NetworkAddress& address) {
    listener = address.listen();
    port = static_cast<std::uint16_t>(listener->getPort());
    accepting = accept().eagerlyEvaluate([](kj::Exception&&) {});
  }

  template <class F>
  void call(F f) {
    executor->executeSync([&f] { f(); });
  }

  kj::Promise<void> accept() {
    return listener->accept().then([this](kj::Own<kj::AsyncIoStream>&& stream) {
      welcome(kj::mv(stream));
      return accept();
    });
  }

  void welcome(kj::Own<kj::AsyncIoStream> stream);
  void end_leases(const std::string& topic, std::uint32_t partition, std::promise<void>& told);
  void drop_all() {
    auto gone = std::make_shared<std::list<kj::Own<connection>>>();
    gone->swap(connections);
    tasks->add(kj::evalLater([gone] { gone->clear(); }));
  }

  void tick() {
    tasks->add(timer->afterDelay(5 * kj::MILLISECONDS).then([this] {
      memory.expire_leases();
      deliver_all();
      tick();
    }));
  }
  void deliver_all();
  void taskFailed(kj::Exception&&) override {}

  fake_depot::state& memory;
  std::thread thread;
  kj::Own<const kj::Executor> executor;
  kj::Own<kj::PromiseFulfiller<void>> end;
  kj::Network* network = nullptr;
  kj::Timer* timer = nullptr;
  kj::TaskSet* tasks = nullptr;
  kj::Own<kj::ConnectionReceiver> listener;
  kj::Promise<void> accepting = nullptr;
  std::uint16_t port = 0;
  std::list<kj::Own<connection>> connections;
  std::set<subscription*> subscriptions;
  std::uint64_t last_subscription = 0;
  std::vector<kj::Own<kj::PromiseFulfiller<void>>> held;
};

} // namespace waybill::testing
