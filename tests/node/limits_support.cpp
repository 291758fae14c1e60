#include "tests/node/limits_support.hpp"

#include "actors/context.hpp"

#include <kj/async-io.h>

namespace waybill::test {

namespace {

constexpr const char* others_topic = "others";

ec code_of(wire::Error::Reader error) {
  CHECK(error.getDetail().size() > 20);
  return static_cast<ec>(error.getCode());
}

std::string body_of(std::size_t number, std::size_t bytes) {
  auto body = std::to_string(number) + " ";
  body.resize(std::max(body.size(), bytes), 'x');
  return body;
}

/// When its node was started again meanwhile, an ack may have counted, or the message comes again.
void acknowledge(consumer& from, const message& m) {
  try {
    from.ack_and_wait(m);
  } catch (const client_error& e) {
    if (e.code() != ec::lease_lost)
      throw;
  }
}

client_options patient_and_quiet() {
  auto options = quiet();
  options.call_timeout = patience;
  return options;
}

} // namespace

std::string flag(std::string_view key, std::uint64_t value) {
  return "--" + std::string{key} + "=" + std::to_string(value);
}

/// What drivers tell the test that walks the page: they are called by key, with nothing else.
std::set<std::string, std::less<>>& alarms_met() {
  static std::set<std::string, std::less<>> met;
  return met;
}

// ---- The bystander ------------------------------------------------------------------------------

bystander::bystander(const std::string& server)
    : client_{server, [this] {
                client_options options{.name = "bystander"};
                options.log = [this](const std::string& line) {
                  const std::lock_guard lock{guard_};
                  said_.push_back(line);
                };
                return options;
              }()} {
  client_.create_topic(others_topic, 1);
  worker_ = std::thread{[this] { work(); }};
  expect_progress();
}

bystander::~bystander() {
  ending_ = true;
  if (worker_.joinable())
    worker_.join();
}

void bystander::work() {
  try {
    auto to = client_.producer(others_topic, {.name = "bystander", .retry = {.retries = 20}});
    auto from =
        client_.subscribe(others_topic, "bystander", {.credit_messages = 1, .credit_bytes = 1'024});
    std::set<std::string> waiting;
    while (!ending_) {
      const auto sent = to.send("one of many");
      waiting.insert(message_id(sent.topic, sent.partition, sent.offset));
      while (!waiting.empty()) {
        const auto m = from.next(patience);
        if (!m)
          throw std::runtime_error{"a confirmed message does not come"};
        waiting.erase(m->id());
        acknowledge(from, *m);
      }
      ++rounds_;
      std::this_thread::sleep_for(1ms);
    }
    from.close();
  } catch (const std::exception& e) {
    const std::lock_guard lock{guard_};
    trouble_ = e.what();
  }
}

void bystander::expect_progress() {
  const auto before = rounds_.load();
  CHECK(comes_true(patience, [&] { return rounds_ > before + 3; }));
}

void bystander::finish(bool quiet) {
  expect_progress();
  ending_ = true;
  worker_.join();
  CHECK(trouble_ == "");
  for (const auto& line : said_)
    if (quiet)
      FAIL_CHECK("the other client says: " << line);
}

// ---- The house ----------------------------------------------------------------------------------

small_house::small_house(house_plan plan)
    : plan_{std::move(plan)}, node_{{.env = &env_,
                                     .flags = plan_.flags,
                                     .disk_free = plan_.disk_free,
                                     .extend = plan_.extend,
                                     .bounds = plan_.bounds}} {
  node_.start();
  admin_.emplace(node_.server(), patient_and_quiet());
  other_.emplace(node_.server());
}

std::vector<std::string> small_house::send(const std::string& topic, std::size_t count,
                                           std::size_t bytes) {
  auto to = admin().producer(topic, {.linger = 0ms, .batch_messages_max = 1});
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < count; ++i) {
    const auto sent = to.send(body_of(i, bytes));
    ids.push_back(message_id(sent.topic, sent.partition, sent.offset));
  }
  return ids;
}

std::vector<std::string> small_house::send_at_once(const std::string& topic, std::size_t count,
                                                   std::size_t bytes) {
  auto to = admin().producer(topic, {.linger = 0ms, .batch_messages_max = 1});
  std::vector<std::future<receipt>> waiting;
  for (std::size_t i = 0; i < count; ++i)
    waiting.push_back(to.send_async({.body = body_of(i, bytes)}));
  std::vector<std::string> ids;
  for (auto& each : waiting) {
    const auto sent = each.get();
    ids.push_back(message_id(sent.topic, sent.partition, sent.offset));
  }
  return ids;
}

void small_house::expect_messages(const std::string& topic, const std::string& group,
                                  const std::vector<std::string>& ids) {
  std::set<std::string> missing{ids.begin(), ids.end()};
  REQUIRE(missing.size() == ids.size());
  auto from = admin().subscribe(topic, group, {.credit_messages = 100, .credit_bytes = 1 << 20});
  while (!missing.empty()) {
    const auto m = from.next(patience);
    if (!m)
      break;
    INFO(m->id());
    CHECK(missing.erase(m->id()) == 1);
    CHECK(m->body() == body_of(std::stoull(m->body()), m->body().size()));
    from.ack(*m);
  }
  CHECK(missing.empty());
  CHECK(from.flush() == 0);
  CHECK_FALSE(from.next(0ms));
  from.close();
}

group_info small_house::group(const std::string& topic, const std::string& group) {
  for (auto& each : admin().list_groups(topic))
    if (each.name == group)
      return each;
  FAIL("there is no group " << group);
  return {};
}

void small_house::expect_alarm(const std::string& words) {
  INFO(words);
  CHECK(comes_true(patience, [&] { return node_.has_said(words); }));
}

void small_house::expect_near(const std::string& key, const std::string& whose) {
  expect_alarm("ALARM limit-near (" + key + whose + ")");
  alarms_met().insert(key);
}

bool small_house::is_near(const std::string& key) {
  bool found = false;
  caf::scoped_actor asker{node_.system()};
  asker
      ->request(find_role<alarm_desk_actor>(node_.system(), role::alarm_desk), patience,
                atom::list_v)
      .receive(
          [&](const std::vector<alarm_report>& raised) {
            for (const auto& each : raised)
              found = found || (each.name == "limit-near" && each.subject.starts_with(key));
          },
          [](const caf::error&) {});
  return found;
}

void small_house::expect_over(const std::string& key) {
  INFO(key);
  CHECK(comes_true(patience, [&] { return !is_near(key); }));
}

void small_house::hold_disk() {
  gate_ = std::make_shared<gate>();
  env_.add({.where = {.kind = file_kind::log},
            .on = operation::sync,
            .what = effect::call,
            .times = 1,
            .hook = [held = gate_](const std::string&) { held->pass(); }});
  gate_->await_arrival(); // the bystander's, at the latest
}

void small_house::let_disk_go() {
  gate_->open();
  env_.clear_faults();
}

void small_house::restart() {
  node_.end();
  node_.start();
}

void small_house::finish() {
  other_->finish(!plan_.others_may_wait);
  for (const auto& topic : admin().list_topics())
    for (const auto& partition : topic.partitions) {
      INFO(topic.name);
      const auto books = admin().audit(topic.name, partition.number);
      CHECK(books.balances);
      CHECK(books.faults == std::vector<std::string>{});
    }
}

// ---- Peers --------------------------------------------------------------------------------------

rpc_peer::rpc_peer(std::uint16_t port)
    : rpc_{"127.0.0.1", port}, session_{[this] {
        auto request = rpc_.getMain<wire::Depot>().loginRequest();
        request.setVersion(wire::PROTOCOL_VERSION);
        return request.send().wait(rpc_.getWaitScope()).getOutcome().getOk().getSession();
      }()} {}

bool rpc_peer::until(milliseconds patience, const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + patience;
  auto& timer = rpc_.getIoProvider().getTimer();
  while (!what()) {
    if (std::chrono::steady_clock::now() >= end)
      return false;
    timer.afterDelay(2 * kj::MILLISECONDS).wait(scope());
  }
  return true;
}

ec rpc_peer::open(const std::string& topic, const std::string& name,
                  kj::Maybe<wire::Producer::Client>& to) {
  auto request = session_.openProducerRequest();
  request.setTopic(topic);
  request.setName(name);
  request.setInstance(7);
  request.setTakeOver(true);
  const auto answer = request.send().wait(scope());
  auto outcome = answer.getOutcome();
  if (outcome.isError())
    return code_of(outcome.getError());
  to = outcome.getOk().getProducer();
  return ec::none;
}

peer_producer::peer_producer(rpc_peer& over, const std::string& topic, const std::string& name)
    : over_{over} {
  REQUIRE(over.open(topic, name, producer_) == ec::none);
}

kj::Promise<publish_answer> peer_producer::begin_numbered(std::uint64_t number,
                                                          std::uint64_t previous,
                                                          const std::string& batch) {
  auto request = KJ_ASSERT_NONNULL(producer_).publishRequest();
  request.setNumber(number);
  request.setPrevious(previous);
  request.setBatch({reinterpret_cast<const kj::byte*>(batch.data()), batch.size()});
  return request.send().then([](auto&& response) {
    auto outcome = response.getOutcome();
    if (outcome.isError())
      return publish_answer{code_of(outcome.getError()),
                            std::string{outcome.getError().getDetail().cStr()}};
    return publish_answer{
        ec::none, {}, outcome.getOk().getFirstOffset(), outcome.getOk().getRepeated()};
  });
}

kj::Promise<publish_answer> peer_producer::begin(const std::string& batch) {
  const auto previous = last++;
  return begin_numbered(last, previous, batch);
}

publish_answer peer_producer::publish(const std::string& batch) {
  return begin(batch).wait(over_.scope());
}

publish_answer peer_producer::publish_numbered(std::uint64_t number, std::uint64_t previous,
                                               const std::string& batch) {
  return begin_numbered(number, previous, batch).wait(over_.scope());
}

struct peer_consumer::inbox final : wire::Receiver::Server {
  explicit inbox(std::shared_ptr<std::vector<delivered_message>> t) : to{std::move(t)} {}
  kj::Promise<void> deliver(DeliverContext context) override {
    for (const auto chunk : context.getParams().getChunks())
      for (const auto each : chunk.getDeliveries())
        to->push_back({each.getOffset(), each.getAttempt(), std::chrono::steady_clock::now()});
    return kj::READY_NOW;
  }
  kj::Promise<void> ended(EndedContext) override { return kj::READY_NOW; }
  std::shared_ptr<std::vector<delivered_message>> to;
};

peer_consumer::peer_consumer(rpc_peer& over, const std::string& topic, const std::string& group,
                             std::uint32_t credit_messages, std::uint64_t credit_bytes)
    : over_{over}, got_{std::make_shared<std::vector<delivered_message>>()} {
  auto request = over.session().subscribeRequest();
  request.setTopic(topic);
  request.setGroup(group);
  request.setConsumer("peer");
  request.setCreditMessages(credit_messages);
  request.setCreditBytes(credit_bytes);
  request.setReceiver(kj::heap<inbox>(got_));
  const auto answer = request.send().wait(over.scope());
  auto outcome = answer.getOutcome();
  if (outcome.isError())
    refused_ = code_of(outcome.getError());
  else
    subscription_ = outcome.getOk().getSubscription();
}

const std::vector<delivered_message>& peer_consumer::got() const { return *got_; }

void peer_consumer::await(std::size_t count) {
  INFO("waiting for " << count << " deliveries");
  over_.until(patience, [&] { return got_->size() >= count; });
  REQUIRE(got_->size() >= count);
}

bool peer_consumer::stays_at(std::size_t count, milliseconds span) {
  return !over_.until(span, [&] { return got_->size() != count; });
}

namespace {

ec code_of(wire::SettleOutcome::Reader outcome) {
  if (outcome.isError())
    return code_of(outcome.getError());
  return outcome.getOk().getLost().size() > 0 ? ec::lease_lost : ec::none;
}

template <class Request>
void fill(Request& request, std::uint64_t offset) {
  auto range = request.initRanges(1)[0];
  range.setFirst(offset);
  range.setEnd(offset + 1);
}

} // namespace

ec peer_consumer::ack(std::uint64_t offset) {
  auto request = KJ_ASSERT_NONNULL(subscription_).ackRequest();
  fill(request, offset);
  return code_of(request.send().wait(over_.scope()).getOutcome());
}

ec peer_consumer::nack(std::uint64_t offset, std::int64_t delay_ms, const std::string& reason) {
  return begin_nack(offset, delay_ms, reason).wait(over_.scope());
}

kj::Promise<ec> peer_consumer::begin_nack(std::uint64_t offset, std::int64_t delay_ms,
                                          const std::string& reason) {
  auto request = KJ_ASSERT_NONNULL(subscription_).nackRequest();
  request.setOffset(offset);
  request.setDelayMs(delay_ms);
  request.setReason(reason);
  return request.send().then([](auto&& response) { return code_of(response.getOutcome()); });
}

ec peer_consumer::extend(std::uint64_t offset, std::uint64_t lease_ms) {
  auto request = KJ_ASSERT_NONNULL(subscription_).extendRequest();
  fill(request, offset);
  request.setLeaseMs(lease_ms);
  return code_of(request.send().wait(over_.scope()).getOutcome());
}

std::string peer_consumer::set_credit(std::uint32_t messages, std::uint64_t bytes) {
  auto request = KJ_ASSERT_NONNULL(subscription_).setCreditRequest();
  request.setMessages(messages);
  request.setBytes(bytes);
  std::string refusal;
  request.send()
      .then([](auto&&) {}, [&](kj::Exception&& e) { refusal = e.getDescription().cStr(); })
      .wait(over_.scope());
  return refusal;
}

void peer_consumer::close() {
  KJ_ASSERT_NONNULL(subscription_).closeRequest().send().wait(over_.scope());
}

} // namespace waybill::test
