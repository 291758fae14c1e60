// Looking for a server: each of the list in turn, with a pause that doubles after each full round.
#include "net/client/link.hpp"

#include "net/client/wire_values.hpp"

#include <kj/debug.h>

#include <algorithm>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace waybill::client_parts {
namespace {

constexpr std::uint32_t protocol_version = wire::PROTOCOL_VERSION;
constexpr milliseconds pause_first{50};
constexpr milliseconds pause_max{2'000};
/// A session that ended sooner, and answered nothing, is no success: the next attempt waits longer.
constexpr milliseconds short_session{1'000};
/// Bytes that nobody acknowledges for so long end the connection.
constexpr unsigned user_timeout_ms = 20'000;
constexpr std::size_t client_name_bytes_max = 128;

/// What one RPC message may hold: batches of 16 MiB at the most, several to a delivery.
capnp::ReaderOptions reader_options() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = (128u << 20) / sizeof(capnp::word);
  return options;
}

/// A peer that vanishes without a word must be noticed: the kernel asks and counts.
void watch_for_silence(kj::AsyncIoStream& stream) {
  const auto set = [&stream](int level, int option, int value) {
    try {
      stream.setsockopt(level, option, &value, sizeof value);
    } catch (const kj::Exception&) {
      // Not a TCP socket, or an old kernel: the time-outs of the calls remain.
    }
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 3);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(user_timeout_ms));
}

node_limits sane(wire::Limits::Reader told) {
  const auto within = [](std::uint32_t value, std::uint32_t least, std::uint32_t most) {
    return std::clamp(value, least, most);
  };
  node_limits limits;
  limits.message_bytes_max = within(told.getMessageBytesMax(), 1'024, 16u << 20);
  limits.batch_bytes_max = within(told.getBatchBytesMax(), 8'192, 64u << 20);
  limits.batch_messages_max = within(told.getBatchMessagesMax(), 1, 1'000'000);
  limits.in_flight_max = within(told.getInFlightMax(), 1, 1'000'000);
  limits.remembered_batches = within(told.getRememberedBatches(), 1, 1'000'000);
  return limits;
}

} // namespace

link::link(core& owner, kj::AsyncIoContext& io)
    : core_{owner}, network_{io.provider->getNetwork()}, timer_{io.provider->getTimer()},
      tasks_{*this}, pause_{pause_first} {}

link::~link() noexcept = default;

void link::taskFailed(kj::Exception&& e) {
  core_.log(std::string{"a task of the library failed: "} + e.getDescription().cStr());
}

void link::add(const std::shared_ptr<link_user>& user) {
  users_.insert(user);
  if (!is_up()) {
    look();
    return;
  }
  tasks_.add(kj::evalLater([this, user, number = session_->number] {
    if (is_up() && session_->number == number && users_.contains(user))
      user->session_up();
  }));
}

void link::remove(link_user& user) {
  std::erase_if(users_, [&user](const auto& each) { return each.get() == &user; });
}

template <class Tell>
void link::tell(Tell how) {
  const std::vector<std::shared_ptr<link_user>> all(users_.begin(), users_.end());
  for (const auto& each : all)
    if (users_.contains(each))
      how(*each);
}

void link::look() {
  if (looking_ || is_up() || users_.empty())
    return;
  looking_ = true;
  const auto& server = core_.servers[next_server_ % core_.servers.size()];
  tasks_.add(connect_to(server).then([] {},
                                     [this, &server](kj::Exception&& e) {
                                       attempt_failed(server.text() + ": " +
                                                      e.getDescription().cStr());
                                     }));
}

kj::Promise<void> link::connect_to(const server_address& server) {
  auto stream = network_.parseAddress(server.host, server.port)
                    .then([](kj::Own<kj::NetworkAddress>&& address) {
                      auto connecting = address->connect();
                      return connecting.attach(kj::mv(address));
                    });
  return timer_.timeoutAfter(to_kj(core_.options.connect_timeout), kj::mv(stream))
      .then([this, &server](kj::Own<kj::AsyncIoStream>&& connected) {
        return log_in(server, kj::mv(connected));
      });
}

kj::Promise<void> link::log_in(const server_address& server, kj::Own<kj::AsyncIoStream> stream) {
  watch_for_silence(*stream);
  auto parts = kj::heap<session_parts>();
  parts->server = server.text();
  parts->number = ++sessions_;
  parts->network = kj::heap<capnp::TwoPartyVatNetwork>(*stream, capnp::rpc::twoparty::Side::CLIENT,
                                                       reader_options());
  parts->stream = kj::mv(stream);
  parts->rpc = kj::heap(capnp::makeRpcClient(*parts->network));
  capnp::MallocMessageBuilder id_message{8};
  auto id = id_message.initRoot<capnp::rpc::twoparty::VatId>();
  id.setSide(capnp::rpc::twoparty::Side::SERVER);
  auto depot = parts->rpc->bootstrap(id).castAs<wire::Depot>();
  auto request = depot.loginRequest();
  request.setUser(core_.options.user);
  request.setSecret(core_.options.secret);
  request.setClient(core_.options.name.substr(0, client_name_bytes_max));
  request.setVersion(protocol_version);
  return timer_.timeoutAfter(to_kj(core_.options.connect_timeout), request.send())
      .then([this, parts = kj::mv(parts)](auto&& response) mutable {
        return judge_login(kj::mv(parts), response.getOutcome());
      });
}

kj::Promise<void> link::judge_login(kj::Own<session_parts> parts,
                                    wire::LoginOutcome::Reader outcome) {
  switch (outcome.which()) {
  case wire::LoginOutcome::OK:
    came_up(kj::mv(parts), outcome.getOk());
    break;
  case wire::LoginOutcome::ERROR: {
    auto refusal = to_failure(outcome.getError());
    refusal.why.detail = parts->server + ": " + refusal.why.detail;
    if (refusal.why.code == ec::not_allowed || refusal.why.code == ec::version_unsupported)
      refuse(refusal.why);
    else
      attempt_failed(refusal.why.detail);
    break;
  }
  default:
    attempt_failed(parts->server + ": its answer to the login is of a kind that this library does "
                                   "not know; is the node newer?");
  }
  // Not before this answer is done with: it is part of that connection.
  return kj::evalLater([gone = kj::mv(parts)]() mutable { gone = nullptr; });
}

void link::came_up(kj::Own<session_parts> parts, wire::LoginOutcome::Ok::Reader ok) {
  parts->session = ok.getSession();
  limits_ = sane(ok.getLimits());
  session_ = kj::mv(parts);
  looking_ = false;
  failed_in_a_row_ = 0;
  up_since_ = last_heard_ = steady_clock::now();
  if (told_trouble_)
    core_.log("connected to " + session_->server + " (node '" + to_text(ok.getNode()) + "')");
  told_trouble_ = false;
  trouble_.clear();
  const auto number = session_->number;
  tasks_.add(session_->network->onDisconnect().then(
      [this, number] { lost(number, "the node closed the connection"); },
      [this, number](kj::Exception&& e) { lost(number, e.getDescription().cStr()); }));
  tasks_.add(kj::evalLater([this, number] {
    if (is_up() && session_->number == number)
      tell([](link_user& user) { user.session_up(); });
  }));
}

void link::attempt_failed(const std::string& why) {
  trouble_ = why;
  if (!told_trouble_)
    core_.log("no connection: " + why + "; looking for a server");
  told_trouble_ = true;
  next_server_ = (next_server_ + 1) % core_.servers.size();
  milliseconds rest{0};
  if (++failed_in_a_row_ % core_.servers.size() == 0) {
    rest = pause_;
    pause_ = std::min(pause_ * 2, pause_max);
  }
  tasks_.add(timer_.afterDelay(to_kj(rest)).then([this] {
    looking_ = false;
    look();
  }));
}

void link::refuse(const failure& why) {
  looking_ = false;
  trouble_ = why.detail;
  core_.log("refused: " + why.detail);
  tasks_.add(kj::evalLater([this, why] { tell([&why](link_user& user) { user.refused(why); }); }));
}

void link::drop(const std::string& why) {
  if (is_up())
    lost(session_->number, why);
}

void link::lost(std::uint64_t number, const std::string& why) {
  if (!is_up() || session_->number != number)
    return;
  trouble_ = session_->server + ": " + why;
  core_.log("lost the connection to " + trouble_ + "; looking for a server");
  told_trouble_ = true;
  if (last_heard_ > up_since_ || steady_clock::now() - up_since_ >= short_session)
    pause_ = pause_first;
  // The parts end in an event of their own: this may be one of theirs.
  tasks_.add(kj::evalLater([gone = kj::mv(session_)]() mutable { gone = nullptr; }));
  session_ = nullptr;
  probing_ = false;
  looking_ = true;
  const failure down{ec::unreachable, trouble_};
  tasks_.add(timer_.afterDelay(to_kj(pause_)).then([this] {
    looking_ = false;
    look();
  }));
  pause_ = std::min(pause_ * 2, pause_max);
  tasks_.add(kj::evalLater([this, down] {
    if (!is_up())
      tell([&down](link_user& user) { user.session_down(down); });
  }));
}

void link::suspect() {
  if (!is_up() || probing_)
    return;
  probing_ = true;
  const auto number = session_->number;
  // A topic without a name does not exist: any answer at all is the sign of life.
  auto asked = session_->session.describeTopicRequest().send().ignoreResult();
  tasks_.add(timer_.timeoutAfter(to_kj(core_.options.connect_timeout), kj::mv(asked))
                 .then([this, number] { probed(number); },
                       [this, number](kj::Exception&& e) {
                         if (e.getType() == kj::Exception::Type::FAILED)
                           probed(number); // an answer, if a strange one
                         else
                           lost(number, "it answers nothing any more");
                       }));
}

void link::probed(std::uint64_t number) {
  if (!is_up() || session_->number != number)
    return;
  probing_ = false;
  heard();
}

} // namespace waybill::client_parts
