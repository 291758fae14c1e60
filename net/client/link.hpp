// The connection of one client: finds a server, logs in, notices that it is lost, finds the next.
// Loop thread only.
#pragma once

#include "net/client/core.hpp"
#include "net/waybill.capnp.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include <cstdint>
#include <set>
#include <string>

namespace waybill::client_parts {

/// What the node takes, from `login`; made sane.
struct node_limits {
  std::uint32_t message_bytes_max = 1u << 20;
  std::uint32_t batch_bytes_max = 4u << 20;
  std::uint32_t batch_messages_max = 10'000;
  std::uint32_t in_flight_max = 1'000;
  std::uint32_t remembered_batches = 1'024;
};

/// Who needs a session. Told of every change, from an event of its own (never from within a call to
/// the link).
class link_user {
public:
  virtual ~link_user() = default;
  virtual void session_up() = 0;
  /// All that was asked in that session will get no answer.
  virtual void session_down(const failure& why) = 0;
  /// A server is there and refuses us for good.
  virtual void refused(const failure& why) = 0;
};

/// Every session has a number: what was asked in one is nothing to the next.
class link : private kj::TaskSet::ErrorHandler {
public:
  link(core& owner, kj::AsyncIoContext& io);
  ~link() noexcept;
  KJ_DISALLOW_COPY(link);

  /// Looks for a server as long as somebody is here. `user` hears `session_up` (soon, if there is
  /// one). It is held until it is removed.
  void add(const std::shared_ptr<link_user>& user);
  void remove(link_user& user);

  [[nodiscard]] bool is_up() const noexcept { return session_.get() != nullptr; }
  /// @pre is_up()
  [[nodiscard]] wire::Session::Client session() { return session_->session; }
  [[nodiscard]] const node_limits& limits() const noexcept { return limits_; }
  [[nodiscard]] kj::Timer& timer() noexcept { return timer_; }
  [[nodiscard]] kj::TaskSet& tasks() noexcept { return tasks_; }
  /// Why there is no session, for people; empty if nothing was tried yet.
  [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }

  /// The node answered something.
  void heard() noexcept { last_heard_ = steady_clock::now(); }
  [[nodiscard]] steady_time last_heard() const noexcept { return last_heard_; }
  /// Nothing was heard for too long: asks the node for a sign of life, and ends the connection if
  /// none comes.
  void suspect();
  /// Ends the session as if the connection were lost.
  void drop(const std::string& why);

private:
  struct session_parts;
  void taskFailed(kj::Exception&& e) override;
  void look();
  kj::Promise<void> connect_to(const server_address& server);
  kj::Promise<void> log_in(const server_address& server, kj::Own<kj::AsyncIoStream> stream);
  kj::Promise<void> judge_login(kj::Own<session_parts> parts, wire::LoginOutcome::Reader outcome);
  void came_up(kj::Own<session_parts> parts, wire::LoginOutcome::Ok::Reader ok);
  void attempt_failed(const std::string& why);
  void refuse(const failure& why);
  void lost(std::uint64_t number, const std::string& why);
  void probed(std::uint64_t number);
  template <class Tell>
  void tell(Tell how);

  struct session_parts {
    std::string server;
    std::uint64_t number = 0;
    kj::Own<kj::AsyncIoStream> stream;
    kj::Own<capnp::TwoPartyVatNetwork> network;
    kj::Own<capnp::RpcSystem<capnp::rpc::twoparty::VatId>> rpc;
    wire::Session::Client session = nullptr; // before `rpc` goes, so last
  };

  core& core_;
  kj::Network& network_;
  kj::Timer& timer_;
  kj::TaskSet tasks_;
  std::set<std::shared_ptr<link_user>> users_;
  kj::Own<session_parts> session_;
  node_limits limits_;
  std::uint64_t sessions_ = 0;
  bool looking_ = false;
  bool probing_ = false;
  bool told_trouble_ = false; ///< one line for each time that no server is there
  std::size_t next_server_ = 0;
  std::size_t failed_in_a_row_ = 0;
  milliseconds pause_;
  std::string trouble_;
  steady_time last_heard_{};
  steady_time up_since_{};
};

} // namespace waybill::client_parts
