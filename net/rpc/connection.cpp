#include "net/rpc/connection.hpp"

#include "net/rpc/convert.hpp"

#include <kj/debug.h>

namespace waybill::rpc {

namespace {

constexpr std::size_t unanswered_max = 8;              ///< deliveries; as the contract says
constexpr std::uint64_t delivery_bytes_max = 1u << 20; ///< of one call, beyond its first chunk

/// A session that was opened for a client who has vanished meanwhile is told so: nobody else
/// would, and it would hold for ever what it holds.
void let_go(const client_answer& what) {
  if (const auto* in = std::get_if<logged_in>(&what))
    caf::anon_send(in->session, atom::vanished_v);
  if (const auto* opened = std::get_if<opened_producer>(&what))
    caf::anon_send(opened->session, atom::vanished_v);
  if (const auto* joined = std::get_if<subscribed>(&what))
    caf::anon_send(joined->session, atom::vanished_v);
}

} // namespace

// ---- The port: any thread
// ---------------------------------------------------------------------------

void connection_port::answer(call_id call, client_answer what) {
  out_->push([alive = alive_, call, what = std::move(what)]() mutable {
    if (*alive)
      (*alive)->answer(call, std::move(what));
    else
      let_go(what);
  });
}

void connection_port::deliver(subscription_id to, chunks what) {
  out_->push([alive = alive_, to, what = std::move(what)]() mutable {
    if (*alive)
      (*alive)->deliver(to, std::move(what));
  });
}

void connection_port::leases_ended(subscription_id to, std::uint32_t partition) {
  out_->push([alive = alive_, to, partition] {
    if (*alive)
      (*alive)->leases_ended(to, partition);
  });
}

void connection_port::session_ended(caf::actor_addr session, failure why) {
  out_->push([alive = alive_, session = std::move(session), why = std::move(why)] {
    if (*alive)
      (*alive)->session_ended(session, why);
  });
}

// ---- The loop
// ---------------------------------------------------------------------------------------

connection::connection(const server_options& options, std::shared_ptr<outbox> out)
    : options_{options}, alive_{std::make_shared<connection*>(this)},
      port_{std::make_shared<connection_port>(std::move(out), alive_)},
      tasks_{kj::heap<kj::TaskSet>(static_cast<kj::TaskSet::ErrorHandler&>(*this))} {}

void connection::end() {
  *alive_ = nullptr;
  for (const auto& [address, session] : sessions_)
    caf::anon_send(session, atom::vanished_v);
  if (admin_)
    caf::anon_send(admin_, atom::vanished_v);
  sessions_.clear();
  receivers_.clear();
  calls_.clear();
  tasks_ = nullptr;
}

connection::waiting_call connection::begin(caf::actor_addr by) {
  auto paf = kj::newPromiseAndFulfiller<client_answer>();
  const call_id id{next_call_++};
  calls_.emplace(id, pending{kj::mv(paf.fulfiller), std::move(by)});
  return {id, kj::mv(paf.promise)};
}

void connection::answer(call_id call, client_answer what) {
  const auto found = calls_.find(call);
  if (found == calls_.end())
    return;
  auto fulfiller = kj::mv(found->second.fulfiller);
  calls_.erase(found);
  fulfiller->fulfill(kj::mv(what));
}

void connection::vanished(const caf::actor_addr& session) {
  if (const auto found = sessions_.find(session); found != sessions_.end()) {
    caf::anon_send(found->second, atom::vanished_v);
    sessions_.erase(found);
  }
  ended_.erase(session);
}

const failure* connection::ended(const caf::actor_addr& session) const {
  const auto found = ended_.find(session);
  return found == ended_.end() ? nullptr : &found->second;
}

void connection::session_ended(const caf::actor_addr& session, const failure& why) {
  std::vector<call_id> theirs;
  for (const auto& [id, each] : calls_)
    if (each.by == session)
      theirs.push_back(id);
  for (const auto id : theirs)
    answer(id, why);
  if (admin_ && admin_.address() == session)
    return renew_admin();
  sessions_.erase(session);
  ended_[session] = why;
  for (auto& [id, each] : receivers_)
    if (each.session == session) {
      each.queue.clear();
      auto request = each.client.endedRequest();
      write(request.initError(), why);
      tasks_->add(request.send().ignoreResult());
    }
}

// ---- Login and administration
// -------------------------------------------------------------------------

kj::Promise<client_answer> connection::login() {
  const auto supervisor = options_.sessions();
  if (!supervisor)
    return client_answer{failure{ec::stopping, "the node is starting or stopping; repeat"}};
  auto call = begin();
  asked_ = supervisor.address();
  caf::anon_send(supervisor, atom::login_v, port_, call.id);
  return call.answer.then([this](client_answer what) {
    asked_ = caf::actor_addr{};
    if (const auto* in = std::get_if<logged_in>(&what))
      admin_ = in->session;
    return what;
  });
}

/// The session behind administration failed: a new one, so that the connection is as before. Who
/// was asked may have ended without an answer: then the next one is asked, with the next call.
void connection::renew_admin() {
  admin_ = admin_session_actor{};
  if (const auto supervisor = options_.sessions(); supervisor && supervisor.address() != asked_)
    tasks_->add(login().ignoreResult());
}

kj::Promise<client_answer> connection::ask_admin(admin_call what) {
  if (!admin_) {
    renew_admin();
    return client_answer{failure{ec::stopping, "the node is starting this session again; repeat"}};
  }
  auto call = begin(admin_.address());
  caf::anon_send(admin_, atom::admin_v, call.id, std::move(what));
  return kj::mv(call.answer);
}

// ---- Deliveries
// ---------------------------------------------------------------------------------------

subscription_id connection::add_receiver(wire::Receiver::Client client) {
  const subscription_id id{next_subscription_++};
  receivers_.emplace(id, receiver{kj::mv(client), {}, 0, {}});
  return id;
}

void connection::bind_receiver(subscription_id subscription, const caf::actor_addr& session) {
  if (const auto found = receivers_.find(subscription); found != receivers_.end())
    found->second.session = session;
}

void connection::remove_receiver(subscription_id subscription) { receivers_.erase(subscription); }

void connection::deliver(subscription_id to, chunks what) {
  const auto found = receivers_.find(to);
  if (found == receivers_.end())
    return;
  for (auto& each : what)
    found->second.queue.push_back(std::move(each));
  send_deliveries(to);
}

void connection::send_deliveries(subscription_id to) {
  const auto found = receivers_.find(to);
  if (found == receivers_.end())
    return;
  auto& r = found->second;
  while (!r.queue.empty() && r.unanswered < unanswered_max)
    send_one(to, r);
}

void connection::send_one(subscription_id to, receiver& r) {
  std::vector<chunk> some;
  std::uint64_t bytes = 0;
  while (!r.queue.empty() &&
         (some.empty() || bytes + r.queue.front().batch.size() <= delivery_bytes_max)) {
    bytes += r.queue.front().batch.size();
    some.push_back(std::move(r.queue.front()));
    r.queue.pop_front();
  }
  std::uint64_t words = bytes / 8 + 64;
  for (const auto& each : some)
    words += 16 + 3 * each.messages.size();
  auto request = r.client.deliverRequest(capnp::MessageSize{words, 0});
  write(request.initChunks(static_cast<kj::uint>(some.size())), some.data());
  ++r.unanswered;
  tasks_->add(request.send().ignoreResult().then([this, to] {
    if (const auto found = receivers_.find(to); found != receivers_.end()) {
      --found->second.unanswered;
      send_deliveries(to);
    }
  }));
}

/// What has not gone out yet stays here; what has is overtaken by nothing: calls arrive in order.
void connection::leases_ended(subscription_id to, std::uint32_t partition) {
  const auto found = receivers_.find(to);
  if (found == receivers_.end())
    return;
  std::erase_if(found->second.queue,
                [partition](const chunk& each) { return each.partition == partition; });
  auto request = found->second.client.leasesEndedRequest();
  request.setPartition(partition);
  tasks_->add(request.send().ignoreResult().catch_([](kj::Exception&& e) {
    if (e.getType() != kj::Exception::Type::UNIMPLEMENTED) // it works on them in vain
      kj::throwFatalException(kj::mv(e));
  }));
}

/// A receiver that throws, or a connection that breaks: the first is the client's defect and stops
/// its deliveries (the leases run out), the second ends this connection by itself.
void connection::taskFailed(kj::Exception&& e) {
  if (e.getType() != kj::Exception::Type::DISCONNECTED)
    options_.log("a client's receiver failed: " + std::string{e.getDescription().cStr()});
}

} // namespace waybill::rpc
