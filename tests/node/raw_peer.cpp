#include "tests/node/raw_peer.hpp"

#include "net/waybill.capnp.h"
#include "storage/format.capnp.h"

#include <capnp/serialize.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace waybill::test {

namespace {

using std::chrono::milliseconds;

std::string bytes_of(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto chars = words.asChars();
  return {chars.begin(), chars.size()};
}

} // namespace

raw_peer::raw_peer(std::uint16_t port) : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
  if (socket_ < 0)
    throw std::runtime_error{std::string{"no socket: "} + std::strerror(errno)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const std::string why = std::strerror(errno);
    ::close(socket_);
    throw std::runtime_error{"no connection: " + why};
  }
}

raw_peer::raw_peer(raw_peer&& other) noexcept : socket_{std::exchange(other.socket_, -1)} {}

raw_peer::~raw_peer() {
  if (socket_ >= 0)
    ::close(socket_);
}

std::size_t raw_peer::send(std::string_view bytes, milliseconds patience) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    pollfd ready{socket_, POLLOUT, 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) <= 0)
      break;
    const auto more =
        ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (more < 0 && errno != EAGAIN)
      break;
    sent += more > 0 ? static_cast<std::size_t>(more) : 0;
  }
  return sent;
}

bool raw_peer::is_closed_within(milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  char buffer[4'096];
  for (;;) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ready{socket_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0)
      return false;
    if (::recv(socket_, buffer, sizeof buffer, 0) <= 0)
      return true;
  }
}

void raw_peer::vanish() {
  const linger at_once{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(std::exchange(socket_, -1));
}

std::string raw_calls::bootstrap() {
  capnp::MallocMessageBuilder message;
  message.initRoot<capnp::rpc::Message>().initBootstrap().setQuestionId(next_++);
  return bytes_of(message);
}

std::string raw_calls::call(std::uint32_t on, bool in_outcome, std::uint64_t interface,
                            std::uint16_t method, const fill& params) {
  capnp::MallocMessageBuilder message;
  auto call = message.initRoot<capnp::rpc::Message>().initCall();
  call.setQuestionId(next_++);
  call.setInterfaceId(interface);
  call.setMethodId(method);
  auto target = call.initTarget().initPromisedAnswer();
  target.setQuestionId(on);
  if (in_outcome) {
    // The results hold the outcome, which holds the capability: the first pointer of each.
    auto way = target.initTransform(2);
    way[0].setGetPointerField(0);
    way[1].setGetPointerField(0);
  }
  params(call.initParams().getContent());
  return bytes_of(message);
}

std::string raw_calls::login(std::uint32_t on) {
  return call(on, false, capnp::typeId<wire::Depot>(), 0, [](capnp::AnyPointer::Builder params) {
    auto p = params.initAs<wire::Depot::LoginParams>();
    p.setClient("rude");
    p.setVersion(wire::PROTOCOL_VERSION);
  });
}

std::string raw_calls::open_producer(std::uint32_t on, const std::string& topic,
                                     const std::string& name) {
  return call(on, true, capnp::typeId<wire::Session>(), 0, [&](capnp::AnyPointer::Builder params) {
    auto p = params.initAs<wire::Session::OpenProducerParams>();
    p.setTopic(topic);
    p.setName(name);
    p.setInstance(1);
    p.setTakeOver(true);
  });
}

std::string raw_calls::publish(std::uint32_t on, std::uint32_t partition, std::uint64_t number,
                               std::uint64_t previous, std::string_view batch) {
  return call(on, true, capnp::typeId<wire::Producer>(), 0, [&](capnp::AnyPointer::Builder params) {
    auto p = params.initAs<wire::Producer::PublishParams>();
    p.setPartition(partition);
    p.setNumber(number);
    p.setPrevious(previous);
    p.setBatch({reinterpret_cast<const kj::byte*>(batch.data()), batch.size()});
  });
}

std::string raw_calls::list_topics(std::uint32_t on) {
  return call(on, true, capnp::typeId<wire::Session>(), 3, [](capnp::AnyPointer::Builder params) {
    params.initAs<wire::Session::ListTopicsParams>();
  });
}

std::string raw_batch(std::size_t messages, std::size_t body_bytes) {
  capnp::MallocMessageBuilder message{
      static_cast<unsigned>(64 + messages * (6 + body_bytes / 8))}; // one segment
  auto list = message.initRoot<format::Batch>().initMessages(static_cast<unsigned>(messages));
  for (auto each : list)
    each.initBody(static_cast<unsigned>(body_bytes));
  return bytes_of(message);
}

} // namespace waybill::test
