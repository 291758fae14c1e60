// The fake depot's face: what tests tell it, and what it tells them.
#include "tests/support/fake_depot.hpp"

#include "tests/support/fake_depot_server.hpp"

namespace waybill::testing {

fake_depot::fake_depot(fake_options options)
    : state_{std::make_unique<state>(std::move(options))}, server_{
                                                               std::make_unique<server>(*state_)} {}
fake_depot::~fake_depot() = default;

std::string fake_depot::address() const { return "127.0.0.1:" + std::to_string(server_->port); }

void fake_depot::stop() {
  server_->call([this] {
    server_->accepting = nullptr;
    server_->listener = nullptr;
    server_->drop_all();
  });
}
void fake_depot::start() {
  server_->executor->executeSync([this]() -> kj::Promise<void> {
    return server_->network->parseAddress("127.0.0.1", server_->port)
        .then([this](kj::Own<kj::NetworkAddress>&& address) { server_->begin(*address); });
  });
}
void fake_depot::drop_connections() {
  server_->call([this] { server_->drop_all(); });
}

namespace {
void append(std::mutex& mutex, std::deque<reaction>& to, const std::vector<reaction>& next) {
  const std::lock_guard lock{mutex};
  to.insert(to.end(), next.begin(), next.end());
}
} // namespace

void fake_depot::at_login(std::vector<reaction> next) {
  append(state_->mutex, state_->logins, next);
}
void fake_depot::at_open(std::vector<reaction> next) { append(state_->mutex, state_->opens, next); }
void fake_depot::at_publish(std::vector<reaction> next) {
  append(state_->mutex, state_->publishes, next);
}
void fake_depot::at_ack(std::vector<reaction> next) { append(state_->mutex, state_->acks, next); }

void fake_depot::decide_publish(std::function<reaction(const publish_call&)> decide) {
  const std::lock_guard lock{state_->mutex};
  state_->decide = std::move(decide);
}
void fake_depot::send_garbage(bool on) {
  const std::lock_guard lock{state_->mutex};
  state_->garbage = on;
}
void fake_depot::spoil_batches(bool on) {
  const std::lock_guard lock{state_->mutex};
  state_->spoiled = on;
}
void fake_depot::release_held() {
  server_->call([this] {
    for (auto& each : server_->held)
      each->fulfill();
    server_->held.clear();
  });
}

void fake_depot::end_leases(const std::string& topic, std::uint32_t partition) {
  std::promise<void> told;
  server_->call([&] { server_->end_leases(topic, partition, told); });
  told.get_future().wait();
}

std::vector<std::string> fake_depot::log(const std::string& topic, std::uint32_t partition) const {
  return state_->look([&] { return state_->topics.at(topic).partitions.at(partition).bodies; });
}
std::vector<std::string> fake_depot::log(const std::string& topic) const {
  return state_->look([&] {
    std::vector<std::string> all;
    for (const auto& p : state_->topics.at(topic).partitions)
      all.insert(all.end(), p.bodies.begin(), p.bodies.end());
    return all;
  });
}
std::vector<publish_call> fake_depot::publishes() const {
  return state_->look([&] { return state_->seen; });
}

namespace {
template <class Has>
std::size_t count(const kept_topic& topic, const std::string& group, Has has) {
  std::size_t found = 0;
  for (const auto& p : topic.partitions)
    if (const auto deliveries = p.groups.find(group); deliveries != p.groups.end())
      for (const auto& d : deliveries->second)
        found += has(d);
  return found;
}
} // namespace

std::size_t fake_depot::acked(const std::string& topic, const std::string& group) const {
  return state_->look([&] {
    return count(state_->topics.at(topic), group,
                 [](const kept_delivery& d) { return d.now == kept_delivery::state::acked; });
  });
}
std::size_t fake_depot::leased(const std::string& topic, const std::string& group) const {
  return state_->look([&] {
    return count(state_->topics.at(topic), group,
                 [](const kept_delivery& d) { return d.now == kept_delivery::state::leased; });
  });
}
std::vector<std::string> fake_depot::dead_reasons(const std::string& topic,
                                                  const std::string& group) const {
  return state_->look([&] {
    std::vector<std::string> reasons;
    count(state_->topics.at(topic), group, [&reasons](const kept_delivery& d) {
      if (d.now == kept_delivery::state::dead)
        reasons.push_back(d.reason);
      return false;
    });
    return reasons;
  });
}
std::size_t fake_depot::held_most() const {
  return state_->look([&] { return state_->held_most; });
}
std::size_t fake_depot::ack_calls() const {
  return state_->look([&] { return state_->ack_calls; });
}
std::size_t fake_depot::given_back() const {
  return state_->look([&] { return state_->given_back; });
}
std::size_t fake_depot::extended() const {
  return state_->look([&] { return state_->extended; });
}
std::size_t fake_depot::logins() const {
  return state_->look([&] { return state_->login_count; });
}

void fake_depot::put(const std::string& topic, std::uint32_t partition,
                     const std::vector<std::string>& bodies) {
  const std::lock_guard lock{state_->mutex};
  for (const auto& each : bodies)
    state_->put(state_->topics.at(topic).partitions.at(partition), batch_of(each));
}

bool fake_depot::eventually(const std::function<bool()>& is_true) const {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (!is_true()) {
    std::unique_lock lock{state_->mutex};
    // Woken by changes of the depot; a condition on the client's side is looked at again soon.
    state_->news.wait_for(lock, milliseconds{5});
    if (std::chrono::steady_clock::now() > until)
      return false;
  }
  return true;
}

} // namespace waybill::testing
