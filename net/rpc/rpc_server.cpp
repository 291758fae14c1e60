#include "net/rpc/rpc_server.hpp"

#include "net/rpc/connection.hpp"
#include "net/rpc/heedful_stream.hpp"
#include "net/rpc/outbox.hpp"
#include "net/rpc/services.hpp"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/debug.h>

#include <future>
#include <thread>

#include <pthread.h>

namespace waybill::rpc {

namespace {

/// A message beyond this is no call of ours: the connection ends. Above what any call may carry, so
/// that an oversized batch gets an answer that says so.
constexpr std::uint64_t slack_bytes = 48u << 20;
/// What the RPC system keeps for a call until the peer says that it is done with the answer.
constexpr std::uint64_t call_bytes = 4u << 10;
constexpr std::uint64_t calls_least = 1'000; ///< a client at work has so many
/// Events between two looks at the sockets. A peer that sends without a pause keeps its own events
/// coming, and without this nothing else would ever be looked at.
constexpr kj::uint events_in_a_row = 100;
constexpr auto accept_again = 100 * kj::MILLISECONDS; ///< after one that failed

failure cannot_listen(const std::string& address, const kj::Exception& why) {
  return {ec::bad_argument, "cannot listen on " + address +
                                " (net.listen): " + why.getDescription().cStr() +
                                "; is another process using the port?"};
}

} // namespace

struct rpc_server::impl final : private kj::TaskSet::ErrorHandler {
  /// A client, from its stream up.
  struct client {
    client(impl& server, kj::Own<kj::AsyncIoStream> s)
        : socket{kj::mv(s)}, stream{*socket, calls_max(server.options.limits)},
          link{std::make_shared<connection>(server.options, server.out)},
          network{stream, capnp::rpc::twoparty::Side::SERVER,
                  reader_options(server.options.limits)},
          rpc{capnp::makeRpcServer(network, make_depot(link))} {
      rpc.setFlowLimit(server.options.limits.connection_bytes_max / sizeof(capnp::word));
    }
    ~client() { link->end(); }
    kj::Own<kj::AsyncIoStream> socket;
    heedful_stream stream;
    std::shared_ptr<connection> link; ///< shared with the capabilities that the peer holds
    capnp::TwoPartyVatNetwork network;
    capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
  };

  server_options options;
  std::shared_ptr<outbox> out = std::make_shared<outbox>();
  std::uint16_t bound = 0;
  std::thread loop;

  // On the loop.
  std::uint64_t open = 0;
  bool deaf = false; ///< accepting fails at this moment
  bool full = false; ///< the last one to come found no room
  kj::Own<kj::ConnectionReceiver> listener;
  kj::Own<kj::PromiseFulfiller<void>> end;
  kj::Timer* timer = nullptr;
  kj::Own<kj::TaskSet> clients;
  kj::Maybe<kj::Promise<void>> accepting;

  static std::size_t calls_max(const net_limits& limits) {
    return std::max(calls_least, limits.connection_bytes_max / call_bytes);
  }

  static capnp::ReaderOptions reader_options(const net_limits& limits) {
    capnp::ReaderOptions result;
    result.traversalLimitInWords = (limits.batch_bytes_max + slack_bytes) / sizeof(capnp::word);
    return result;
  }

  void run(std::promise<result<void>>& started) {
    auto io = kj::setupAsyncIo();
    io.waitScope.setBusyPollInterval(events_in_a_row);
    auto ended = kj::newPromiseAndFulfiller<void>();
    end = kj::mv(ended.fulfiller);
    timer = &io.provider->getTimer();
    try {
      auto address =
          io.provider->getNetwork().parseAddress(options.listen.c_str(), 0).wait(io.waitScope);
      listener = address->listen();
      bound = static_cast<std::uint16_t>(listener->getPort());
    } catch (const kj::Exception& e) {
      started.set_value(cannot_listen(options.listen, e));
      return;
    }
    clients = kj::heap<kj::TaskSet>(static_cast<kj::TaskSet::ErrorHandler&>(*this));
    auto outgoing = out->run(*io.lowLevelProvider).eagerlyEvaluate([this](kj::Exception&& e) {
      options.log("the way from actors to connections broke: " + describe(e));
    });
    accepting = accept().eagerlyEvaluate(
        [this](kj::Exception&& e) { options.log("accepting connections ended: " + describe(e)); });
    started.set_value({});
    ended.promise.wait(io.waitScope);
    accepting = nullptr;
    clients = nullptr; // ends every connection; their sessions are told
    listener = nullptr;
    outgoing = nullptr;
  }

  kj::Promise<void> accept() {
    // `evalNow`: an accept that fails throws, where it could not wait.
    return kj::evalNow([this] { return listener->accept(); })
        .then(
            [this](kj::Own<kj::AsyncIoStream> stream) {
              deaf = false;
              if (open < options.limits.connections_max) {
                full = false;
                clients->add(serve(kj::mv(stream)));
              } else if (!std::exchange(full, true))
                options.log("connections are refused: net.connections-max (" +
                            std::to_string(options.limits.connections_max) + ") are open");
              return accept();
            },
            // There are no file descriptors left, most likely. There will be: who waits, waits.
            [this](kj::Exception&& e) {
              if (!std::exchange(deaf, true))
                options.log("no connection can be accepted at this moment: " + describe(e) +
                            "; is the limit of open files (ulimit -n) too low?");
              return timer->afterDelay(accept_again).then([this] { return accept(); });
            });
  }

  kj::Promise<void> serve(kj::Own<kj::AsyncIoStream> stream) {
    auto served = kj::heap<client>(*this, kj::mv(stream));
    auto* c = served.get();
    count_connections(+1);
    const auto patience = options.limits.login_timeout.count() * kj::MILLISECONDS;
    auto silent = timer->afterDelay(patience).then([c]() -> kj::Promise<void> {
      if (c->link->has_logged_in())
        return kj::NEVER_DONE;
      return kj::READY_NOW; // it has not logged in: the connection ends
    });
    return c->network.onDisconnect()
        .exclusiveJoin(kj::mv(silent))
        .attach(kj::mv(served), kj::defer([this] { count_connections(-1); }));
  }

  void count_connections(int change) {
    open += static_cast<std::uint64_t>(change);
    if (options.connections)
      options.connections(open);
  }

  void taskFailed(kj::Exception&& e) override { options.log("a connection ended: " + describe(e)); }

  static std::string describe(const kj::Exception& e) { return e.getDescription().cStr(); }
};

rpc_server::rpc_server(std::unique_ptr<impl> started) : impl_{std::move(started)} {}

result<std::unique_ptr<rpc_server>> rpc_server::start(server_options options) {
  auto made = std::make_unique<impl>();
  made->options = std::move(options);
  std::promise<result<void>> started;
  auto outcome = started.get_future();
  made->loop = std::thread{[&started, i = made.get()] { i->run(started); }};
  ::pthread_setname_np(made->loop.native_handle(), "rpc");
  if (auto listening = outcome.get(); !listening) {
    made->loop.join();
    return listening.error();
  }
  return std::unique_ptr<rpc_server>{new rpc_server{std::move(made)}};
}

result<void> rpc_server::probe(const std::string& listen) {
  result<void> outcome;
  // On a thread of its own: the caller's may have a loop already.
  std::thread{[&] {
    auto io = kj::setupAsyncIo();
    try {
      io.provider->getNetwork().parseAddress(listen.c_str(), 0).wait(io.waitScope)->listen();
    } catch (const kj::Exception& e) {
      outcome = cannot_listen(listen, e);
    }
  }}.join();
  return outcome;
}

rpc_server::~rpc_server() {
  impl_->out->push([i = impl_.get()] { i->end->fulfill(); });
  impl_->loop.join();
}

std::uint16_t rpc_server::port() const noexcept { return impl_->bound; }

bool rpc_server::answers(std::chrono::milliseconds patience) const {
  const auto turned = std::make_shared<std::promise<void>>();
  impl_->out->push([turned] { turned->set_value(); });
  return turned->get_future().wait_for(patience) == std::future_status::ready;
}

void rpc_server::stop_accepting() {
  impl_->out->push([i = impl_.get()] {
    i->accepting = nullptr;
    i->listener = nullptr;
  });
}

} // namespace waybill::rpc
