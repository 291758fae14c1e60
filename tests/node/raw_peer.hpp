// A peer without a library: a socket, and the RPC protocol's messages one by one, so that a test
// can be as rude as it likes: half a message, calls whose answers nobody reads, bytes of nonsense.
#pragma once

#include "storage/types.hpp"

#include <capnp/message.h>
#include <capnp/rpc.capnp.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace waybill::test {

class raw_peer {
public:
  /// Connects to 127.0.0.1. @throws std::runtime_error
  explicit raw_peer(std::uint16_t port);
  ~raw_peer();
  raw_peer(raw_peer&& other) noexcept;
  raw_peer(const raw_peer&) = delete;
  raw_peer& operator=(const raw_peer&) = delete;

  /// Sends all of it, as long as the other side takes something at least once in `patience`.
  /// @returns how many bytes it took
  std::size_t send(std::string_view bytes, std::chrono::milliseconds patience);
  /// Reads and throws away. @returns whether the other side closed the connection in time
  [[nodiscard]] bool is_closed_within(std::chrono::milliseconds patience);
  /// Closes with a reset, as a process does that dies with unread bytes.
  void vanish();

private:
  int socket_ = -1;
};

/// Calls, pipelined each on the answer of an earlier one: nothing needs to be read.
class raw_calls {
public:
  using fill = std::function<void(capnp::AnyPointer::Builder params)>;
  /// The first question of a connection. @returns the message's bytes
  [[nodiscard]] std::string bootstrap();
  /// A call of the capability that the answer to `on` has in its outcome (or that it is itself).
  [[nodiscard]] std::string call(std::uint32_t on, bool in_outcome, std::uint64_t interface,
                                 std::uint16_t method, const fill& params);
  /// The last question's number.
  [[nodiscard]] std::uint32_t last() const { return next_ - 1; }

  // ---- The usual ones, in this order
  [[nodiscard]] std::string login(std::uint32_t on);
  [[nodiscard]] std::string open_producer(std::uint32_t on, const std::string& topic,
                                          const std::string& name);
  [[nodiscard]] std::string publish(std::uint32_t on, std::uint32_t partition, std::uint64_t number,
                                    std::uint64_t previous, std::string_view batch);
  [[nodiscard]] std::string list_topics(std::uint32_t on);

private:
  std::uint32_t next_ = 0;
};

/// A batch of so many messages with bodies of so many bytes, serialised.
[[nodiscard]] std::string raw_batch(std::size_t messages, std::size_t body_bytes);

} // namespace waybill::test
