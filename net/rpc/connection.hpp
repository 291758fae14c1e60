// One client's connection on the KJ loop: calls that wait for actors, sessions that were opened
// over it, deliveries on their way out. Everything here happens on the loop, but for the port.
#pragma once

#include "net/rpc/outbox.hpp"
#include "net/rpc/rpc_server.hpp"
#include "net/waybill.capnp.h"

#include <deque>
#include <map>
#include <set>

namespace waybill::rpc {

class connection;

/// How actors reach a connection: through the outbox, by number; one that is gone hears nothing.
class connection_port final : public client_port {
public:
  connection_port(std::shared_ptr<outbox> out, std::shared_ptr<connection*> alive)
      : out_{std::move(out)}, alive_{std::move(alive)} {}
  void answer(call_id call, client_answer what) override;
  void deliver(subscription_id to, chunks what) override;
  void leases_ended(subscription_id to, std::uint32_t partition) override;
  void session_ended(caf::actor_addr session, failure why) override;

private:
  std::shared_ptr<outbox> out_;
  std::shared_ptr<connection*> alive_; ///< read and written on the loop only
};

class connection final : public kj::TaskSet::ErrorHandler {
public:
  connection(const server_options& options, std::shared_ptr<outbox> out);
  /// The client has vanished: every session is told, and nothing goes out any more. The
  /// capabilities that it held may live a little longer than the connection.
  void end();

  /// A call that waits for its answer. `by`: the session that owes it, once there is one.
  struct waiting_call {
    call_id id;
    kj::Promise<client_answer> answer;
  };
  [[nodiscard]] waiting_call begin(caf::actor_addr by = {});
  [[nodiscard]] port_ptr port() const { return port_; }
  [[nodiscard]] const server_options& options() const { return options_; }

  /// Whether there is room for a further producer or subscription, those counted that are being
  /// opened.
  [[nodiscard]] bool room_for_session() const {
    return sessions_.size() + opening_ < options_.limits.sessions_max;
  }
  /// One is being opened, until `opened` or `not_opened`.
  void opens() { ++opening_; }
  void opened(const caf::actor& session) {
    --opening_;
    sessions_.emplace(session.address(), session);
  }
  void not_opened() { --opening_; }
  /// The session is told that its client is gone, unless it ended by itself.
  void vanished(const caf::actor_addr& session);
  void closed(const caf::actor_addr& session) { sessions_.erase(session); }
  /// Why a session has ended; none: it lives.
  [[nodiscard]] const failure* ended(const caf::actor_addr& session) const;

  [[nodiscard]] subscription_id add_receiver(wire::Receiver::Client receiver);
  void bind_receiver(subscription_id subscription, const caf::actor_addr& session);
  void remove_receiver(subscription_id subscription);

  /// Logs in; the answer is `logged_in` or a failure.
  [[nodiscard]] kj::Promise<client_answer> login();
  [[nodiscard]] bool has_logged_in() const { return bool(admin_); }
  [[nodiscard]] bool is_logging_in() const { return bool(asked_); }
  [[nodiscard]] kj::Promise<client_answer> ask_admin(admin_call what);

private:
  friend class connection_port;
  struct pending {
    kj::Own<kj::PromiseFulfiller<client_answer>> fulfiller;
    caf::actor_addr by;
  };
  struct receiver {
    wire::Receiver::Client client;
    std::deque<chunk> queue;
    std::size_t unanswered = 0;
    caf::actor_addr session;
  };
  void answer(call_id call, client_answer what);
  void deliver(subscription_id to, chunks what);
  void leases_ended(subscription_id to, std::uint32_t partition);
  void session_ended(const caf::actor_addr& session, const failure& why);
  void renew_admin();
  void send_deliveries(subscription_id to);
  void send_one(subscription_id to, receiver& r);
  void taskFailed(kj::Exception&& e) override;

  const server_options& options_;
  std::shared_ptr<connection*> alive_;
  port_ptr port_;
  std::uint64_t next_call_ = 1;
  std::uint64_t next_subscription_ = 1;
  std::size_t opening_ = 0; ///< sessions that were asked for and not answered yet
  std::map<call_id, pending> calls_;
  std::map<caf::actor_addr, caf::actor> sessions_; ///< producers and subscriptions
  std::map<caf::actor_addr, failure> ended_;       ///< those that failed, while their objects live
  std::map<subscription_id, receiver> receivers_;
  admin_session_actor admin_;
  caf::actor_addr asked_;      ///< who owes the answer to a login
  kj::Own<kj::TaskSet> tasks_; ///< null: the connection has ended
};

} // namespace waybill::rpc
