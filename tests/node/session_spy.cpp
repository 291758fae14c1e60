#include "tests/node/session_spy.hpp"

namespace waybill::test {

namespace {

/// A connection's port that looks at the answers.
class spying_port final : public client_port {
public:
  spying_port(port_ptr inner, std::shared_ptr<known_sessions> known)
      : inner_{std::move(inner)}, known_{std::move(known)} {}

  void answer(call_id call, client_answer what) override {
    {
      const std::lock_guard lock{known_->guard};
      if (const auto* in = std::get_if<logged_in>(&what))
        known_->admins.push_back(in->session.address());
      if (const auto* opened = std::get_if<opened_producer>(&what))
        known_->producers.push_back(opened->session.address());
      if (const auto* joined = std::get_if<subscribed>(&what))
        known_->consumers.push_back(joined->session.address());
    }
    inner_->answer(call, std::move(what));
  }
  void deliver(subscription_id to, chunks what) override { inner_->deliver(to, std::move(what)); }
  void leases_ended(subscription_id to, std::uint32_t partition) override {
    inner_->leases_ended(to, partition);
  }
  void session_ended(caf::actor_addr session, failure why) override {
    inner_->session_ended(std::move(session), std::move(why));
  }

private:
  port_ptr inner_;
  std::shared_ptr<known_sessions> known_;
};

session_supervisor_actor::behavior_type session_spy(session_supervisor_actor::pointer self,
                                                    session_supervisor_actor real,
                                                    std::shared_ptr<known_sessions> known) {
  // It ends with the one that it stands for: the role is free then, as it would be.
  self->link_to(real);
  const auto spied = [known](const port_ptr& port) -> port_ptr {
    return std::make_shared<spying_port>(port, known);
  };
  return {
      [self, real, spied](atom::login, const port_ptr& port, call_id call) {
        self->send(real, atom::login_v, spied(port), call);
      },
      [self, real, spied](atom::open, const port_ptr& port, call_id call,
                          const open_producer_call& what) {
        self->send(real, atom::open_v, spied(port), call, what);
      },
      [self, real, spied](atom::subscribe, const port_ptr& port, call_id call,
                          const subscribe_call& what) {
        self->send(real, atom::subscribe_v, spied(port), call, what);
      },
      [](atom::tick) {},
      [self, real](atom::stop) { return self->delegate(real, atom::stop_v); },
  };
}

} // namespace

void spy_on_sessions(caf::actor_system& system, const std::shared_ptr<known_sessions>& known) {
  const auto real = find_role<session_supervisor_actor>(system, role::session_supervisor);
  if (!real)
    return;
  const auto spy = system.spawn(session_spy, real, known);
  system.registry().erase(role::session_supervisor); // a name that is taken is not given anew
  system.registry().put(role::session_supervisor, caf::actor_cast<caf::strong_actor_ptr>(spy));
}

} // namespace waybill::test
