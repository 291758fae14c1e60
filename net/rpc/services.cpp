#include "net/rpc/services.hpp"

#include "net/rpc/convert.hpp"

#include <kj/debug.h>

namespace waybill::rpc {

namespace {

constexpr std::size_t names_bytes_max = 256; ///< of any name in a call; the sessions check further
constexpr std::size_t ranges_max = 10'000;
constexpr std::size_t letters_max = 1'000;
constexpr std::uint64_t alarms_wait_ms_max = 60'000;

std::optional<failure> too_long(std::initializer_list<capnp::Text::Reader> names) {
  for (const auto each : names)
    if (each.size() > names_bytes_max)
      return failure{ec::bad_name,
                     "a name is longer than " + std::to_string(names_bytes_max) + " bytes"};
  return std::nullopt;
}

failure too_many(const char* what, std::size_t most) {
  return {ec::bad_argument, "more than " + std::to_string(most) + " " + what + " in one call"};
}

/// What a producer finds in each partition, when it is opened.
void write_places(wire::OpenProducerOutcome::Ok::Builder to,
                  const std::vector<opened_producer::place>& places) {
  const auto count = static_cast<kj::uint>(places.size());
  auto last = to.initLast(count);
  auto messages = to.initLastMessages(count);
  std::vector<kj::uint> out;
  for (kj::uint i = 0; i < count; ++i) {
    last.set(i, places[i].last.number.value);
    messages.set(i, places[i].last.messages);
    if (places[i].why.code != ec::none)
      out.push_back(i);
  }
  auto out_of_service = to.initOutOfService(static_cast<kj::uint>(out.size()));
  for (kj::uint i = 0; i < out.size(); ++i) {
    out_of_service[i].setPartition(out[i]);
    write(out_of_service[i].initError(), places[out[i]].why);
  }
}

// ---- Producers
// ----------------------------------------------------------------------------------------

class producer_service final : public wire::Producer::Server {
public:
  producer_service(std::shared_ptr<connection> over, producer_session_actor session)
      : over_{std::move(over)}, session_{std::move(session)} {}
  ~producer_service() { over_->vanished(session_.address()); }

  kj::Promise<void> publish(PublishContext context) override {
    const auto params = context.getParams();
    if (closed_) {
      write(context.getResults().initOutcome().initError(),
            failure{ec::unknown_producer, "this producer was closed: open it again"});
      return kj::READY_NOW;
    }
    if (const auto* why = over_->ended(session_.address())) {
      write(context.getResults().initOutcome().initError(), *why);
      return kj::READY_NOW;
    }
    const auto batch = params.getBatch().asChars();
    auto call = over_->begin(session_.address());
    // Copied: the reader dies with the call, the batch may wait in a mailbox.
    caf::anon_send(session_, atom::publish_v, call.id, params.getPartition(),
                   batch_number{params.getNumber()}, batch_number{params.getPrevious()},
                   shared_bytes{std::string{batch.begin(), batch.size()}});
    context.releaseParams();
    return call.answer.then([context](client_answer what) mutable {
      write(context.getResults(capnp::MessageSize{24, 0}).initOutcome(), what);
    });
  }

  kj::Promise<void> close(CloseContext) override {
    if (std::exchange(closed_, true) || over_->ended(session_.address()))
      return kj::READY_NOW;
    auto call = over_->begin(session_.address());
    caf::anon_send(session_, atom::close_v, call.id);
    return call.answer.then([this](client_answer) { over_->closed(session_.address()); });
  }

private:
  std::shared_ptr<connection> over_;
  producer_session_actor session_;
  bool closed_ = false; ///< its session answers no more
};

// ---- Consumers
// ----------------------------------------------------------------------------------------

class subscription_service final : public wire::Subscription::Server {
public:
  subscription_service(std::shared_ptr<connection> over, consumer_session_actor session,
                       subscription_id id)
      : over_{std::move(over)}, session_{std::move(session)}, id_{id} {}
  ~subscription_service() {
    over_->remove_receiver(id_);
    over_->vanished(session_.address());
  }

  kj::Promise<void> ack(AckContext context) override {
    const auto params = context.getParams();
    return settle(context, params.getPartition(), params.getRanges(), settle_kind::ack, {});
  }
  kj::Promise<void> extend(ExtendContext context) override {
    const auto params = context.getParams();
    return settle(context, params.getPartition(), params.getRanges(), settle_kind::extend,
                  milliseconds{static_cast<std::int64_t>(
                      std::min<std::uint64_t>(params.getLeaseMs(), over_longest))});
  }
  kj::Promise<void> giveBack(GiveBackContext context) override {
    const auto params = context.getParams();
    return settle(context, params.getPartition(), params.getRanges(), settle_kind::give_back, {});
  }
  kj::Promise<void> nack(NackContext context) override {
    const auto params = context.getParams();
    const message_offset offset{params.getOffset()};
    settle_request what{0, {}, settle_kind::nack, {just(offset)}};
    if (params.getDelayMs() >= 0)
      what.span = milliseconds{params.getDelayMs()};
    what.reason = read(params.getReason());
    return send(context, params.getPartition(), std::move(what));
  }

  kj::Promise<void> setCredit(SetCreditContext context) override {
    const auto params = context.getParams();
    if (closed_ || over_->ended(session_.address()))
      return kj::READY_NOW;
    auto call = over_->begin(session_.address());
    caf::anon_send(session_, atom::credit_v, call.id, params.getMessages(), params.getBytes());
    return call.answer.then([](client_answer answer) {
      // Its results have no place for an error: a peer that asks for too much is a faulty one.
      if (const auto* why = std::get_if<failure>(&answer))
        kj::throwFatalException(KJ_EXCEPTION(FAILED, why->detail));
    });
  }

  kj::Promise<void> close(CloseContext) override {
    if (std::exchange(closed_, true) || over_->ended(session_.address()))
      return kj::READY_NOW;
    over_->remove_receiver(id_);
    auto call = over_->begin(session_.address());
    caf::anon_send(session_, atom::close_v, call.id);
    return call.answer.then([this](client_answer) { over_->closed(session_.address()); });
  }

private:
  static constexpr std::uint64_t over_longest = 1ull << 40; ///< beyond any span that is allowed

  template <class Context>
  kj::Promise<void> settle(Context& context, std::uint32_t partition,
                           capnp::List<wire::Range>::Reader ranges, settle_kind kind,
                           std::optional<milliseconds> span) {
    if (ranges.size() > ranges_max) {
      write(context.getResults().initOutcome().initError(), too_many("ranges", ranges_max));
      return kj::READY_NOW;
    }
    return send(context, partition, settle_request{0, {}, kind, read(ranges), span, {}});
  }

  template <class Context>
  kj::Promise<void> send(Context& context, std::uint32_t partition, settle_request what) {
    if (closed_) {
      write(context.getResults().initOutcome().initError(),
            failure{ec::bad_argument, "this subscription was closed: what it held is given back"});
      return kj::READY_NOW;
    }
    if (const auto* why = over_->ended(session_.address())) {
      write(context.getResults().initOutcome().initError(), *why);
      return kj::READY_NOW;
    }
    auto call = over_->begin(session_.address());
    caf::anon_send(session_, atom::settle_v, call.id, partition, std::move(what));
    return call.answer.then([context](client_answer answer) mutable {
      write(context.getResults().initOutcome(), answer);
    });
  }

  std::shared_ptr<connection> over_;
  consumer_session_actor session_;
  subscription_id id_;
  bool closed_ = false; ///< its session answers no more
};

// ---- Session
// ------------------------------------------------------------------------------------------

class session_service final : public wire::Session::Server {
public:
  explicit session_service(std::shared_ptr<connection> over) : over_{std::move(over)} {}

  kj::Promise<void> openProducer(OpenProducerContext context) override {
    const auto params = context.getParams();
    const auto supervisor = over_->options().sessions();
    if (auto why = no_session(supervisor, {params.getTopic(), params.getName()})) {
      write(context.getResults().initOutcome().initError(), *why);
      return kj::READY_NOW;
    }
    over_->opens();
    auto call = over_->begin();
    caf::anon_send(supervisor, atom::open_v, over_->port(), call.id,
                   open_producer_call{read(params.getTopic()), read(params.getName()),
                                      params.getInstance(), params.getTakeOver()});
    return call.answer.then([this, context](client_answer what) mutable {
      auto outcome = context.getResults().initOutcome();
      const auto* opened = std::get_if<opened_producer>(&what);
      if (!opened) {
        over_->not_opened();
        return write(outcome.initError(), std::get<failure>(what));
      }
      over_->opened(caf::actor_cast<caf::actor>(opened->session));
      auto ok = outcome.initOk();
      ok.setProducer(kj::heap<producer_service>(over_, opened->session));
      write_places(ok, opened->partitions);
    });
  }

  kj::Promise<void> subscribe(SubscribeContext context) override {
    const auto params = context.getParams();
    const auto supervisor = over_->options().sessions();
    if (auto why =
            no_session(supervisor, {params.getTopic(), params.getGroup(), params.getConsumer()})) {
      write(context.getResults().initOutcome().initError(), *why);
      return kj::READY_NOW;
    }
    over_->opens();
    const auto id = over_->add_receiver(params.getReceiver());
    auto call = over_->begin();
    caf::anon_send(supervisor, atom::subscribe_v, over_->port(), call.id,
                   subscribe_call{id, read(params.getTopic()), read(params.getGroup()),
                                  read(params.getConsumer()), params.getCreditMessages(),
                                  params.getCreditBytes(), params.getAcceptsCompressed()});
    return call.answer.then([this, context, id](client_answer what) mutable {
      auto outcome = context.getResults().initOutcome();
      const auto* found = std::get_if<subscribed>(&what);
      if (!found) {
        over_->not_opened();
        over_->remove_receiver(id);
        return write(outcome.initError(), std::get<failure>(what));
      }
      over_->opened(caf::actor_cast<caf::actor>(found->session));
      over_->bind_receiver(id, found->session.address());
      auto ok = outcome.initOk();
      ok.setSubscription(kj::heap<subscription_service>(over_, found->session, id));
      ok.setLeaseMs(static_cast<std::uint64_t>(found->lease.count()));
      ok.setPartitions(found->partitions);
    });
  }

  kj::Promise<void> createTopic(CreateTopicContext context) override {
    const auto params = context.getParams();
    return ask(context, create_topic_call{read(params.getName()), params.getPartitions(),
                                          read(params.getRetention())});
  }
  kj::Promise<void> setTopic(SetTopicContext context) override {
    const auto params = context.getParams();
    return ask(context, set_topic_call{read(params.getName()), read(params.getRetention())});
  }
  kj::Promise<void> deleteTopic(DeleteTopicContext context) override {
    return ask(context, delete_topic_call{read(context.getParams().getName())});
  }
  kj::Promise<void> listTopics(ListTopicsContext context) override {
    return over_->ask_admin(list_topics_call{}).then([this, context](client_answer what) mutable {
      write(context.getResults().initOutcome(), what, over_->options().node);
    });
  }
  kj::Promise<void> describeTopic(DescribeTopicContext context) override {
    return over_->ask_admin(describe_topic_call{read(context.getParams().getName())})
        .then([this, context](client_answer what) mutable {
          write(context.getResults().initOutcome(), what, over_->options().node);
        });
  }
  kj::Promise<void> listGroups(ListGroupsContext context) override {
    return ask(context, list_groups_call{read(context.getParams().getTopic())});
  }
  kj::Promise<void> setGroup(SetGroupContext context) override {
    const auto params = context.getParams();
    return ask(context, set_group_call{read(params.getTopic()), read(params.getGroup()),
                                       read(params.getPolicy())});
  }
  kj::Promise<void> deleteGroup(DeleteGroupContext context) override {
    const auto params = context.getParams();
    return ask(context, delete_group_call{read(params.getTopic()), read(params.getGroup())});
  }
  kj::Promise<void> seekGroup(SeekGroupContext context) override {
    const auto params = context.getParams();
    return ask(context, seek_group_call{read(params.getTopic()), read(params.getGroup()),
                                        params.getPartition(), read(params.getTarget())});
  }
  kj::Promise<void> listDeadLetters(ListDeadLettersContext context) override {
    const auto params = context.getParams();
    const auto partition = params.getPartition();
    const bool with_bodies = params.getWithBodies();
    return over_
        ->ask_admin(list_letters_call{read(params.getTopic()), read(params.getGroup()), partition,
                                      message_offset{params.getFrom()}, params.getMost()})
        .then([context, partition, with_bodies](client_answer what) mutable {
          write(context.getResults().initOutcome(), what, partition, with_bodies);
        });
  }
  kj::Promise<void> redriveDeadLetters(RedriveDeadLettersContext context) override {
    return redrive(context, letters_action::redrive);
  }
  kj::Promise<void> purgeDeadLetters(PurgeDeadLettersContext context) override {
    return redrive(context, letters_action::purge);
  }
  kj::Promise<void> transferDeadLetters(TransferDeadLettersContext context) override {
    const auto params = context.getParams();
    transfer_wish to{read(params.getToTopic()), {}};
    if (params.getToPartition() >= 0) // one that no topic has is refused as that
      to.partition = static_cast<std::uint32_t>(std::min<std::int64_t>(
          params.getToPartition(), std::numeric_limits<std::int32_t>::max()));
    return redrive(context, letters_action::transfer, std::move(to));
  }
  kj::Promise<void> releaseDeadLetters(ReleaseDeadLettersContext context) override {
    return redrive(context, letters_action::release);
  }
  kj::Promise<void> audit(AuditContext context) override {
    const auto params = context.getParams();
    return ask(context, audit_call{read(params.getTopic()), params.getPartition()});
  }
  kj::Promise<void> verify(VerifyContext context) override {
    const auto params = context.getParams();
    return ask(context, verify_call{read(params.getTopic()), params.getPartition(),
                                    message_offset{params.getOffset()}, read(params.getEntry())});
  }
  kj::Promise<void> alarms(AlarmsContext context) override {
    const auto params = context.getParams();
    return ask(context,
               list_alarms_call{wall_time{milliseconds{params.getStarted()}}, params.getAfter(),
                                milliseconds{static_cast<std::int64_t>(std::min<std::uint64_t>(
                                    params.getWaitMs(), alarms_wait_ms_max))}});
  }
  kj::Promise<void> nodeStats(NodeStatsContext context) override {
    return ask(context, node_stats_call{context.getParams().getResetMemoryPeak()});
  }
  kj::Promise<void> close(CloseContext) override { return kj::READY_NOW; }

private:
  [[nodiscard]] std::optional<failure>
  no_session(const session_supervisor_actor& supervisor,
             std::initializer_list<capnp::Text::Reader> names) const {
    if (!supervisor)
      return failure{ec::stopping, "the node is starting or stopping; repeat"};
    if (!over_->room_for_session())
      return failure{ec::limit_reached,
                     "this connection holds as many producers and subscriptions as "
                     "net.sessions-max (" +
                         std::to_string(over_->options().limits.sessions_max) + ") allows"};
    return too_long(names);
  }

  template <class Context>
  kj::Promise<void> ask(Context& context, admin_call what) {
    return over_->ask_admin(std::move(what)).then([context](client_answer answer) mutable {
      write(context.getResults().initOutcome(), answer);
    });
  }

  template <class Context>
  kj::Promise<void> redrive(Context& context, letters_action action, transfer_wish to = {}) {
    const auto params = context.getParams();
    const auto offsets = params.getOffsets();
    if (offsets.size() > letters_max) {
      write(context.getResults().initOutcome().initError(), too_many("dead letters", letters_max));
      return kj::READY_NOW;
    }
    redrive_call what{read(params.getTopic()),
                      read(params.getGroup()),
                      params.getPartition(),
                      {},
                      action,
                      std::move(to)};
    for (const auto each : offsets)
      what.offsets.push_back(message_offset{each});
    return ask(context, std::move(what));
  }

  std::shared_ptr<connection> over_;
};

// ---- Depot
// --------------------------------------------------------------------------------------------

class depot_service final : public wire::Depot::Server {
public:
  explicit depot_service(std::shared_ptr<connection> over) : over_{std::move(over)} {}

  kj::Promise<void> login(LoginContext context) override {
    const auto params = context.getParams();
    if (const auto why = refusal(params)) {
      write(context.getResults().initOutcome().initError(), *why);
      return kj::READY_NOW;
    }
    return over_->login().then([this, context](client_answer what) mutable {
      auto outcome = context.getResults().initOutcome();
      if (!std::holds_alternative<logged_in>(what))
        return write(outcome.initError(), std::get<failure>(what));
      const auto& options = over_->options();
      auto ok = outcome.initOk();
      ok.setSession(kj::heap<session_service>(over_));
      ok.setNode(options.node.c_str());
      ok.setDevelopment(options.development);
      auto limits = ok.initLimits();
      limits.setMessageBytesMax(static_cast<std::uint32_t>(options.limits.message_bytes_max));
      limits.setBatchBytesMax(static_cast<std::uint32_t>(options.limits.batch_bytes_max));
      limits.setBatchMessagesMax(static_cast<std::uint32_t>(options.limits.batch_messages_max));
      limits.setInFlightMax(static_cast<std::uint32_t>(options.limits.in_flight_max));
      limits.setRememberedBatches(static_cast<std::uint32_t>(options.remembered_batches));
    });
  }

private:
  [[nodiscard]] std::optional<failure> refusal(LoginParams::Reader params) const {
    if (params.getVersion() != wire::PROTOCOL_VERSION)
      return failure{ec::version_unsupported,
                     "this node speaks version " + std::to_string(wire::PROTOCOL_VERSION) +
                         " of the contract, the client " + std::to_string(params.getVersion()) +
                         ": use a client of the same release"};
    if (over_->has_logged_in() || over_->is_logging_in())
      return failure{ec::bad_argument, "this connection has logged in already"};
    return too_long({params.getUser(), params.getSecret(), params.getClient()});
  }

  std::shared_ptr<connection> over_;
};

} // namespace

wire::Depot::Client make_depot(std::shared_ptr<connection> over) {
  return kj::heap<depot_service>(std::move(over));
}

} // namespace waybill::rpc
