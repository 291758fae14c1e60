#include "actors/session/session_supervisor.hpp"

#include "actors/session/admin_session.hpp"
#include "actors/session/consumer_session.hpp"
#include "actors/session/producer_session.hpp"

namespace waybill {

namespace {

constexpr std::chrono::seconds end_patience{10};

} // namespace

struct session_supervisor_state {
  static inline const char* name = "session-supervisor";

  /// What to tell the connection when a session ends: `opening` is answered by the session itself,
  /// unless it ended before.
  struct child {
    caf::actor session;
    port_ptr port;
    call_id opening;
    ec failed; ///< what its client is told when it fails: what helps is another one
  };

  session_supervisor_actor::stateful_pointer<session_supervisor_state> self;
  context_ptr node;
  std::map<caf::actor_addr, child> children;
  std::uint64_t consumers = 0;
  std::optional<caf::typed_response_promise<done>> stopper;

  /// Sessions end with their supervisor, however it ends, and their connections are told.
  ~session_supervisor_state() {
    for (const auto& [address, each] : children) {
      const std::string why = "the node's sessions are started again; repeat";
      each.port->answer(each.opening, failure{ec::stopping, why});
      each.port->session_ended(address, {each.failed, why});
      caf::anon_send_exit(each.session, caf::exit_reason::user_shutdown);
    }
  }

  template <class Handle>
  void watch(const Handle& session, const port_ptr& port, call_id opening,
             ec failed = ec::stopping) {
    self->monitor(session);
    children.emplace(session.address(),
                     child{caf::actor_cast<caf::actor>(session), port, opening, failed});
  }

  [[nodiscard]] bool refuses(const port_ptr& port, call_id call) const {
    if (stopper)
      port->answer(call, failure{ec::stopping, "the node is stopping; repeat elsewhere or later"});
    return stopper.has_value();
  }

  void login(const port_ptr& port, call_id call) {
    if (refuses(port, call))
      return;
    const auto session = spawn_admin_session(self->system(), {node, port});
    watch(session, port, call);
    port->answer(call, logged_in{session});
  }

  void open(const port_ptr& port, call_id call, const open_producer_call& what) {
    if (refuses(port, call))
      return;
    watch(spawn_producer_session(self->system(), {node, port, call, what}), port, call,
          ec::unknown_producer);
  }

  void subscribe(const port_ptr& port, call_id call, const subscribe_call& what) {
    if (refuses(port, call))
      return;
    // Unlike any of another process, which the partition's state may still speak of.
    const consumer_id id{node->process.value + ++consumers};
    watch(spawn_consumer_session(self->system(), {node, port, call, what, id}), port, call);
  }

  void session_down(const caf::down_msg& down) {
    const auto found = children.find(down.source);
    if (found == children.end())
      return;
    const auto gone = std::move(found->second);
    children.erase(found);
    if (down.reason && down.reason != caf::exit_reason::normal) {
      auto why = to_failure(down.reason);
      auto unopened = why; // not `unknown_producer`: that would mean that its batches are forgotten
      if (why.code == ec::internal) {
        why = {gone.failed, "the session failed and is gone (" + why.detail + "): open it again"};
        unopened = {ec::stopping, why.detail};
      }
      // The connection has at most one of the two waiting; what it does not wait for, it passes
      // over.
      gone.port->answer(gone.opening, unopened);
      gone.port->session_ended(down.source, why);
    }
    if (stopper && children.empty())
      stopper->deliver(done{});
  }

  caf::result<done> stop() {
    stopper = self->make_response_promise<done>();
    if (children.empty())
      stopper->deliver(done{});
    for (const auto& [address, each] : children)
      self->send_exit(each.session, to_error({ec::stopping, "the node is stopping"}));
    self->delayed_send(self, end_patience, atom::tick_v);
    return *stopper;
  }

  void stop_anyway() {
    if (stopper && stopper->pending())
      stopper->deliver(done{});
  }
};

static session_supervisor_actor::behavior_type
session_supervisor(session_supervisor_actor::stateful_pointer<session_supervisor_state> self,
                   context_ptr node) {
  auto& state = self->state;
  state.self = self;
  state.node = std::move(node);
  self->set_down_handler([&state](const caf::down_msg& down) { state.session_down(down); });
  return {
      [&state](atom::login, const port_ptr& port, call_id call) { state.login(port, call); },
      [&state](atom::open, const port_ptr& port, call_id call, const open_producer_call& what) {
        state.open(port, call, what);
      },
      [&state](atom::subscribe, const port_ptr& port, call_id call, const subscribe_call& what) {
        state.subscribe(port, call, what);
      },
      [&state](atom::tick) { state.stop_anyway(); },
      [&state](atom::stop) { return state.stop(); },
  };
}

session_supervisor_actor spawn_session_supervisor(caf::actor_system& system, context_ptr node) {
  return system.spawn(session_supervisor, std::move(node));
}

} // namespace waybill
