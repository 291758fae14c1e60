// Serves the contract of net/waybill.capnp: one thread with a KJ loop, a bridge to the session
// actors. Source: docs/design.md, sections 3 and 8.
#pragma once

#include "actors/messages.hpp"
#include "config/limits.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace waybill::rpc {

struct server_options {
  std::string listen;       ///< HOST:PORT; port 0: any free one
  std::string node;         ///< its name, told to clients
  bool development = false; ///< told to clients at login
  net_limits limits;
  std::uint64_t remembered_batches = 0; ///< `producers.remembered-batches`, told to clients
  /// Who takes new sessions now; empty while nobody does. Called on the server's thread.
  std::function<session_supervisor_actor()> sessions;
  std::function<void(const std::string&)> log; ///< a line for people; any thread
  /// How many connections are open, whenever that has changed. Called on the server's thread.
  std::function<void(std::uint64_t)> connections{};
};

/// One loop serves all connections. Bounds: `net.*`; beyond `connection_bytes_max` of unanswered
/// calls a connection is not read from until answers have gone out.
class rpc_server {
public:
  /// Listens when it returns. @errors `bad_argument`: the address cannot be listened on; says why
  [[nodiscard]] static result<std::unique_ptr<rpc_server>> start(server_options options);
  /// Whether this address can be listened on at this moment. @errors as of `start`
  [[nodiscard]] static result<void> probe(const std::string& listen);
  /// Ends all connections and the thread.
  ~rpc_server();
  /// The port that it listens on.
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// Whether its loop turns: it has done within `patience` what it was given now.
  [[nodiscard]] bool answers(std::chrono::milliseconds patience) const;
  /// No new connections; the open ones go on.
  void stop_accepting();

private:
  struct impl;
  explicit rpc_server(std::unique_ptr<impl> started);
  std::unique_ptr<impl> impl_;
};

} // namespace waybill::rpc
