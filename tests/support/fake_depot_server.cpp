// The fake depot's objects of the contract: one login per connection, its sessions, and their
// producers and subscriptions.
#include "tests/support/fake_depot_server.hpp"

#include <kj/debug.h>

namespace waybill::testing {
namespace {

void write(wire::Error::Builder to, const failure& why, bool retry) {
  to.setCode(static_cast<wire::ErrorCode>(why.code));
  to.setRetry(retry);
  to.setDetail(why.detail);
}

capnp::ReaderOptions reader_options() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 16u << 20;
  return options;
}

/// Until the connection goes. Without leave to cancel, the call would hold its object for ever.
template <class Context>
kj::Promise<void> never(Context& context) {
  context.allowCancellation();
  return kj::NEVER_DONE;
}

std::uint64_t simple_hash(const std::string& bytes) { return std::hash<std::string>{}(bytes); }

} // namespace

// ---- producers --------------------------------------------------------------------------------

class fake_depot::server::producer final : public wire::Producer::Server {
public:
  producer(server& s, std::string topic, std::string name, std::uint64_t opened)
      : server_{s}, topic_{std::move(topic)}, name_{std::move(name)}, opened_{opened} {}

  kj::Promise<void> publish(PublishContext context) override {
    const auto params = context.getParams();
    const auto data = params.getBatch();
    std::string bytes(reinterpret_cast<const char*>(data.begin()), data.size());
    const publish_call call{params.getPartition(), params.getNumber(), params.getPrevious(),
                            simple_hash(bytes), name_};
    auto& memory = server_.memory;
    std::function<reaction(const publish_call&)> decide;
    {
      const std::lock_guard lock{memory.mutex};
      memory.seen.push_back(call);
      decide = memory.decide;
    }
    auto how = decide ? decide(call) : reaction{};
    if (how.what == reaction::kind::proper)
      how = memory.next(memory.publishes);
    memory.changed();
    using kind = reaction::kind;
    switch (how.what) {
    case kind::refuse:
      write(context.getResults().initOutcome().initError(), {how.code, "as told"}, how.retry);
      return kj::READY_NOW;
    case kind::nonsense:
      write(context.getResults().initOutcome().initError(), {static_cast<ec>(201), {}}, how.retry);
      return kj::READY_NOW;
    case kind::drop_before:
      server_.drop_all();
      return never(context);
    case kind::silent:
      return never(context);
    case kind::fault:
      KJ_FAIL_REQUIRE("as told");
    case kind::forget: {
      const std::lock_guard lock{memory.mutex};
      for (auto& p : memory.topics[topic_].partitions)
        p.producers.clear();
      break;
    }
    default:
      break;
    }
    const auto verdict = memory.publish(topic_, name_, opened_, call, std::move(bytes));
    if (how.what == kind::drop_after)
      server_.drop_all();
    if (how.what == kind::drop_after || how.what == kind::silent_after)
      return never(context);
    answer(context, verdict);
    if (how.what == kind::late)
      return server_.timer->afterDelay(how.delay.count() * kj::MILLISECONDS);
    if (how.what == kind::held) {
      auto wait = kj::newPromiseAndFulfiller<void>();
      server_.held.push_back(kj::mv(wait.fulfiller));
      context.allowCancellation();
      return kj::mv(wait.promise);
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> close(CloseContext) override { return kj::READY_NOW; }

private:
  static void answer(PublishContext& context, const publish_verdict& verdict) {
    auto outcome = context.getResults().initOutcome();
    if (verdict.why.code != ec::none) {
      write(outcome.initError(), verdict.why, retry_can_help(verdict.why.code));
      return;
    }
    auto ok = outcome.initOk();
    ok.setFirstOffset(verdict.first_offset);
    ok.setRepeated(verdict.repeated);
    ok.initEntry().setIndex(verdict.index);
    ok.getEntry().setEpoch(1);
  }

  server& server_;
  std::string topic_, name_;
  std::uint64_t opened_;
};

// ---- consumers --------------------------------------------------------------------------------

class fake_depot::server::subscription final : public wire::Subscription::Server {
public:
  subscription(server& s, std::string topic, std::string group, std::uint32_t credit,
               wire::Receiver::Client receiver)
      : server_{s}, topic_{std::move(topic)}, group_{std::move(group)}, credit_{credit},
        receiver_{kj::mv(receiver)}, id_{++s.last_subscription} {
    s.subscriptions.insert(this);
  }
  ~subscription() noexcept(false) {
    server_.subscriptions.erase(this);
    server_.memory.end_leases(topic_, group_, id_, true);
  }

  void deliver() {
    if (is_closed_)
      return;
    const auto due = server_.memory.lease(topic_, group_, id_, credit_);
    for (std::size_t at = 0; at < due.size();) {
      auto end = at;
      while (end < due.size() && due[end].partition == due[at].partition &&
             due[end].batch == due[at].batch)
        ++end;
      deliver({due.begin() + static_cast<std::ptrdiff_t>(at),
               due.begin() + static_cast<std::ptrdiff_t>(end)});
      at = end;
    }
  }

  kj::Promise<void> end_leases(std::uint32_t partition) {
    auto request = receiver_.leasesEndedRequest();
    request.setPartition(partition);
    return request.send().ignoreResult();
  }

  kj::Promise<void> ack(AckContext context) override {
    using kind = reaction::kind;
    {
      const std::lock_guard lock{server_.memory.mutex};
      ++server_.memory.ack_calls;
    }
    const auto how = server_.memory.next(server_.memory.acks);
    if (how.what == kind::drop_before) {
      server_.drop_all();
      return never(context);
    }
    if (how.what == kind::refuse) {
      write(context.getResults().initOutcome().initError(), {how.code, "as told"}, how.retry);
      return kj::READY_NOW;
    }
    settle(context, state::settle_as::ack);
    if (how.what == kind::drop_after) {
      server_.drop_all();
      return never(context);
    }
    if (how.what == kind::late)
      return server_.timer->afterDelay(how.delay.count() * kj::MILLISECONDS);
    return kj::READY_NOW;
  }
  kj::Promise<void> nack(NackContext context) override {
    const auto params = context.getParams();
    const bool held =
        server_.memory.settle(topic_, group_, params.getPartition(), params.getOffset(), id_,
                              state::settle_as::nack, params.getReason().cStr());
    auto lost = context.getResults().initOutcome().initOk().initLost(held ? 0 : 1);
    if (!held) {
      lost[0].setFirst(params.getOffset());
      lost[0].setEnd(params.getOffset() + 1);
    }
    return kj::READY_NOW;
  }
  kj::Promise<void> extend(ExtendContext context) override {
    settle(context, state::settle_as::extend);
    return kj::READY_NOW;
  }
  kj::Promise<void> giveBack(GiveBackContext context) override {
    settle(context, state::settle_as::give_back);
    return kj::READY_NOW;
  }
  kj::Promise<void> close(CloseContext) override {
    is_closed_ = true;
    server_.memory.end_leases(topic_, group_, id_, false);
    return kj::READY_NOW;
  }

private:
  void deliver(const std::vector<due_delivery>& of_one_batch) {
    auto request = receiver_.deliverRequest();
    auto chunk = request.initChunks(1)[0];
    chunk.setPartition(of_one_batch.front().partition);
    std::string bytes;
    {
      const std::lock_guard lock{server_.memory.mutex};
      bytes = server_.memory.topics[topic_]
                  .partitions[of_one_batch.front().partition]
                  .batches[of_one_batch.front().batch]
                  .bytes;
      if (server_.memory.spoiled)
        bytes = std::string(bytes.size(), '\x5a');
    }
    chunk.setBatch(kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
    auto list = chunk.initDeliveries(static_cast<unsigned>(of_one_batch.size()));
    for (unsigned i = 0; i < list.size(); ++i) {
      list[i].setOffset(of_one_batch[i].offset);
      list[i].setPosition(of_one_batch[i].position);
      list[i].setAttempt(of_one_batch[i].attempt);
    }
    server_.tasks->add(request.send().ignoreResult());
  }

  template <class Context>
  void settle(Context& context, state::settle_as how) {
    const auto params = context.getParams();
    std::vector<std::uint64_t> lost;
    for (const auto range : params.getRanges())
      for (auto offset = range.getFirst(); offset < range.getEnd(); ++offset)
        if (!server_.memory.settle(topic_, group_, params.getPartition(), offset, id_, how, {}))
          lost.push_back(offset);
    auto list =
        context.getResults().initOutcome().initOk().initLost(static_cast<unsigned>(lost.size()));
    for (unsigned i = 0; i < list.size(); ++i) {
      list[i].setFirst(lost[i]);
      list[i].setEnd(lost[i] + 1);
    }
  }

  server& server_;
  std::string topic_, group_;
  std::uint32_t credit_;
  wire::Receiver::Client receiver_;
  std::uint64_t id_;
  bool is_closed_ = false;
};

void fake_depot::server::deliver_all() {
  const std::vector<subscription*> all(subscriptions.begin(), subscriptions.end());
  for (auto* each : all)
    if (subscriptions.contains(each))
      each->deliver();
}

void fake_depot::server::end_leases(const std::string& topic, std::uint32_t partition,
                                    std::promise<void>& told) {
  memory.orphan_leases(topic, partition);
  auto calls = kj::heapArrayBuilder<kj::Promise<void>>(subscriptions.size());
  for (auto* each : subscriptions)
    calls.add(each->end_leases(partition));
  tasks->add(kj::joinPromises(calls.finish()).then([&told] { told.set_value(); }));
}

// ---- sessions ---------------------------------------------------------------------------------

class fake_depot::server::session final : public wire::Session::Server {
public:
  explicit session(server& s) : server_{s} {}

  kj::Promise<void> openProducer(OpenProducerContext context) override {
    const auto how = server_.memory.next(server_.memory.opens);
    if (how.what == reaction::kind::silent)
      return never(context);
    if (how.what == reaction::kind::drop_before) {
      server_.drop_all();
      return never(context);
    }
    const auto params = context.getParams();
    auto outcome = context.getResults().initOutcome();
    if (how.what == reaction::kind::refuse) {
      write(outcome.initError(), {how.code, "as told"}, how.retry);
      return kj::READY_NOW;
    }
    std::uint64_t opened = 0;
    std::vector<std::uint64_t> last;
    const auto why = server_.memory.open(params.getTopic(), params.getName(), params.getInstance(),
                                         params.getTakeOver(), opened, last);
    if (why.code != ec::none) {
      write(outcome.initError(), why, false);
      return kj::READY_NOW;
    }
    auto ok = outcome.initOk();
    ok.setProducer(kj::heap<producer>(server_, params.getTopic(), params.getName(), opened));
    auto list = ok.initLast(static_cast<unsigned>(last.size()));
    for (unsigned i = 0; i < list.size(); ++i)
      list.set(i, last[i]);
    return kj::READY_NOW;
  }

  kj::Promise<void> subscribe(SubscribeContext context) override {
    const auto params = context.getParams();
    auto outcome = context.getResults().initOutcome();
    const std::string topic{params.getTopic().cStr()};
    const auto partitions = server_.memory.look([&] {
      const auto found = server_.memory.topics.find(topic);
      return found == server_.memory.topics.end() ? std::size_t{0}
                                                  : found->second.partitions.size();
    });
    if (partitions == 0) {
      write(outcome.initError(), {ec::unknown_topic, "no such topic"}, false);
      return kj::READY_NOW;
    }
    auto ok = outcome.initOk();
    ok.setSubscription(kj::heap<subscription>(server_, topic, params.getGroup(),
                                              params.getCreditMessages(), params.getReceiver()));
    ok.setLeaseMs(static_cast<std::uint64_t>(server_.memory.options.lease.count()));
    ok.setPartitions(static_cast<std::uint32_t>(partitions));
    server_.tasks->add(kj::evalLater([this] { server_.deliver_all(); }));
    return kj::READY_NOW;
  }

  kj::Promise<void> createTopic(CreateTopicContext context) override {
    const auto params = context.getParams();
    const std::lock_guard lock{server_.memory.mutex};
    const auto [place, is_new] =
        server_.memory.topics.try_emplace(std::string{params.getName().cStr()});
    if (is_new) {
      place->second.partitions.resize(params.getPartitions());
      context.getResults().initOutcome().setOk();
    } else {
      write(context.getResults().initOutcome().initError(), {ec::topic_exists, "it is there"},
            false);
    }
    const bool is_dropped = !server_.memory.opens.empty() &&
                            server_.memory.opens.front().what == reaction::kind::drop_after;
    if (!is_dropped)
      return kj::READY_NOW;
    server_.memory.opens.pop_front();
    server_.drop_all();
    return never(context);
  }

  kj::Promise<void> describeTopic(DescribeTopicContext context) override {
    const std::lock_guard lock{server_.memory.mutex};
    const auto found = server_.memory.topics.find(context.getParams().getName().cStr());
    auto outcome = context.getResults().initOutcome();
    if (found == server_.memory.topics.end()) {
      write(outcome.initError(), {ec::unknown_topic, "no such topic"}, false);
      return kj::READY_NOW;
    }
    auto ok = outcome.initOk();
    ok.setName(found->first);
    auto list = ok.initPartitions(static_cast<unsigned>(found->second.partitions.size()));
    for (unsigned i = 0; i < list.size(); ++i) {
      list[i].setNumber(i);
      list[i].setState("leading");
      list[i].setNextOffset(found->second.partitions[i].bodies.size());
    }
    return kj::READY_NOW;
  }

private:
  server& server_;
};

class fake_depot::server::depot final : public wire::Depot::Server {
public:
  explicit depot(server& s) : server_{s} {}
  kj::Promise<void> login(LoginContext context) override {
    auto& memory = server_.memory;
    const auto how = memory.next(memory.logins);
    if (how.what == reaction::kind::silent)
      return never(context);
    auto outcome = context.getResults().initOutcome();
    if (how.what == reaction::kind::refuse) {
      write(outcome.initError(), {how.code, "as told"}, how.retry);
      return kj::READY_NOW;
    }
    const std::lock_guard lock{memory.mutex};
    ++memory.login_count;
    auto ok = outcome.initOk();
    ok.setSession(kj::heap<session>(server_));
    ok.setNode("fake");
    auto limits = ok.initLimits();
    limits.setMessageBytesMax(memory.options.message_bytes_max);
    limits.setBatchBytesMax(20u << 20);
    limits.setBatchMessagesMax(10'000);
    limits.setInFlightMax(memory.options.in_flight_max);
    limits.setRememberedBatches(memory.options.remembered);
    memory.changed();
    return kj::READY_NOW;
  }

private:
  server& server_;
};

void fake_depot::server::welcome(kj::Own<kj::AsyncIoStream> stream) {
  if (memory.look([this] { return memory.garbage; })) {
    static const char garbage[] =
        "HTTP/1.1 400 this is no Cap'n Proto at all, and never was\r\n\r\n";
    auto sent = stream->write(garbage, sizeof garbage - 1);
    tasks->add(sent.attach(kj::mv(stream)));
    return;
  }
  auto c = kj::heap<connection>();
  c->network = kj::heap<capnp::TwoPartyVatNetwork>(*stream, capnp::rpc::twoparty::Side::SERVER,
                                                   reader_options());
  c->stream = kj::mv(stream);
  c->rpc = kj::heap(
      capnp::makeRpcServer(*c->network, capnp::Capability::Client{kj::heap<depot>(*this)}));
  auto* self = c.get();
  tasks->add(c->network->onDisconnect().then([this, self] {
    tasks->add(kj::evalLater([this, self] {
      connections.remove_if([self](const kj::Own<connection>& each) { return each.get() == self; });
    }));
  }));
  connections.push_back(kj::mv(c));
}

} // namespace waybill::testing
