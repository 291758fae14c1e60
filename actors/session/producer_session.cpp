#include "actors/session/producer_session.hpp"

#include "actors/rules/group.hpp"
#include "actors/session/topic_leaders.hpp"
#include "storage/assert.hpp"
#include "storage/compression.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>
#include <deque>
#include <type_traits>

namespace waybill {

struct producer_session_state {
  static inline const char* name = "producer-session";

  struct place {
    partition_leader_actor leader; ///< none: it is being looked up
    producer_epoch opened;
    last_batch last;
    bool open = false;
    failure out_of_service{ec::none, {}}; ///< why it is; it is not opened then
  };

  producer_session_actor::stateful_pointer<producer_session_state> self;
  producer_session_args args;
  topic_id topic;
  std::vector<place> places;
  struct asked {
    call_id call;
    std::uint32_t partition = 0;
  };
  std::map<std::uint64_t, asked> unanswered; ///< by question
  /// A batch that an interceptor is asked about. It goes to the leader behind those before it.
  struct offered {
    publish_request request; ///< without its body
    shared_bytes batch;      ///< as it was sent
    shared_bytes plain;      ///< the same, or what was compressed in it; none: it was not shown
    offered_ptr shown;       ///< counted as long as `plain` is needed
    std::optional<interception> answer{};
  };
  extension_slot* interceptor = nullptr;               ///< of the topic; null: none
  std::map<std::uint32_t, std::deque<offered>> offers; ///< by partition, in the order of arrival
  std::uint64_t offered_bytes = 0;                     ///< of them, plain
  std::uint64_t next_question = 1;
  bool opening = true;
  bool ending = false;
  std::optional<call_id> closing; ///< it ends because its client said so
  bool looking = false;

  [[nodiscard]] const std::string& topic_name() const { return args.producer.topic; }

  void start(producer_session_args a) {
    args = std::move(a);
    interceptor = args.node->extensions.interceptor_of(topic_name());
    for (const auto& each : {args.producer.topic, args.producer.name})
      if (!is_valid_name(each))
        return refuse({ec::bad_name, "\"" + each +
                                         "\" is no name: 1 to 128 of a-z A-Z 0-9 . _ -, "
                                         "not beginning with a dot"});
    if (is_transfer_producer(args.producer.name))
      return refuse({ec::not_allowed, "\"" + args.producer.name +
                                          "\" is a name under which nodes redrive dead letters: "
                                          "choose another"});
    look_up_topic(self, args.node, topic_name(),
                  [this](const topic_ptr& found, const failure* why) {
                    if (why)
                      refuse(*why);
                    else
                      open_everywhere(*found);
                  });
  }

  /// It was never open: the call is answered, and nothing is left.
  void refuse(const failure& why) {
    if (!opening)
      return;
    opening = false;
    args.port->answer(args.opening, why);
    self->quit();
  }

  void open_everywhere(const topic_view& found) {
    topic = found.id;
    places.resize(found.partitions.size());
    if (const auto* why = not_ready(found))
      return refuse(*why);
    for (std::uint32_t number = 0; number < places.size(); ++number) {
      const auto& partition = found.partitions[number];
      if (!partition.leader) {
        places[number].out_of_service = partition.why;
        continue;
      }
      bind(number, partition.leader);
      self->request(partition.leader, args.node->bounds.storage.request_timeout, atom::open_v,
                    args.producer.name, args.producer.instance, args.producer.take_over)
          .then([this, number](const opened_here& opened) { opened_at(number, opened); },
                [this](const caf::error& error) { refuse(to_failure(error)); });
    }
  }

  void bind(std::uint32_t number, const partition_leader_actor& leader) {
    places[number].leader = leader;
    self->monitor(leader);
  }

  void opened_at(std::uint32_t number, const opened_here& opened) {
    auto& p = places[number];
    p.opened = opened.opened;
    p.last = opened.last;
    p.open = true;
    if (!opening || !std::ranges::all_of(places, is_settled))
      return;
    opening = false;
    opened_producer answer{self, {}};
    for (const auto& each : places)
      answer.partitions.push_back({each.last, each.out_of_service});
    args.port->answer(args.opening, std::move(answer));
  }

  [[nodiscard]] static bool is_out_of_service(const place& p) {
    return p.out_of_service.code != ec::none;
  }
  [[nodiscard]] static bool is_settled(const place& p) { return p.open || is_out_of_service(p); }

  // ---- Batches
  // ------------------------------------------------------------------------------------

  [[nodiscard]] std::optional<failure> refusal(std::uint32_t partition,
                                               const shared_bytes& batch) const {
    const auto& limits = args.node->bounds.net;
    if (ending)
      return failure{ec::stopping, "the node is stopping; repeat elsewhere or later"};
    if (partition >= places.size())
      return failure{ec::unknown_partition, "topic \"" + topic_name() + "\" has partitions 0 to " +
                                                std::to_string(places.size() - 1) + ", not " +
                                                std::to_string(partition)};
    if (is_out_of_service(places[partition]))
      return places[partition].out_of_service;
    if (!places[partition].leader)
      return failure{ec::partition_offline, partition_name(topic_name(), partition) +
                                                " has no leader at this moment; repeat"};
    if (unanswered.size() >= limits.in_flight_max)
      return failure{ec::overloaded, "this producer has as many batches without an answer as "
                                     "net.in-flight-max (" +
                                         std::to_string(limits.in_flight_max) + ") allows"};
    if (batch.size() > limits.batch_bytes_max)
      return failure{ec::batch_too_large, "the batch has " + std::to_string(batch.size()) +
                                              " bytes, more than " + "net.batch-bytes-max (" +
                                              std::to_string(limits.batch_bytes_max) +
                                              ") allows: send fewer messages in one"};
    return std::nullopt;
  }

  /// A compressed batch is held to the bounds of a plain one, and by nothing but the answer here is
  /// it told that it holds the latter: what was decompressed ends with the call.
  [[nodiscard]] result<checked_batch> check(std::string_view batch) const {
    const auto& limits = args.node->bounds.net;
    const batch_limits bounds{limits.batch_messages_max, limits.message_bytes_max};
    if (!is_compressed(batch))
      return check_batch(batch, bounds);
    const auto plain = decompress_batch(batch, limits.batch_bytes_max);
    return plain ? check_batch(*plain, bounds) : plain.error();
  }

  void publish(call_id call, std::uint32_t partition, batch_number number, batch_number previous,
               const shared_bytes& batch) {
    if (const auto why = refusal(partition, batch))
      return args.port->answer(call, *why);
    const auto checked = check(batch.view());
    if (!checked)
      return args.port->answer(call, checked.error());
    if (interceptor &&
        offered_bytes + plain_bytes_of(batch.view()) > args.node->bounds.net.connection_bytes_max)
      return args.port->answer(
          call, failure{ec::overloaded, "the batches that wait for the " + interceptor->title() +
                                            " weigh as much as net.connection-bytes-max allows; "
                                            "repeat later"});
    auto& p = places[partition];
    const auto question = next_question++;
    unanswered.emplace(question, asked{call, partition});
    publish_request request{question, args.producer.name,    p.opened,          number,
                            previous, hash_of(batch.view()), checked->messages, checked->timed,
                            {}};
    if (interceptor)
      return offer(partition, std::move(request), batch);
    request.body = body_of(request, batch.view(), std::nullopt);
    pass_on(p, std::move(request));
  }

  [[nodiscard]] static shared_bytes body_of(const publish_request& request, std::string_view batch,
                                            std::optional<hash128> sent) {
    return encode_publish_body(
        {request.producer, request.opened, request.number, request.previous, batch, sent});
  }

  void pass_on(const place& to, publish_request request) {
    self->send(to.leader, atom::publish_v, caf::actor_cast<publisher_actor>(self),
               std::move(request));
  }

  // ---- Interceptors
  // ---------------------------------------------------------------------------------

  void offer(std::uint32_t partition, publish_request request, const shared_bytes& batch) {
    const auto plain = plain_batch(batch);
    WAYBILL_ASSERT(plain); // it was checked
    auto messages = read_batch(plain->view());
    WAYBILL_ASSERT(messages);
    const auto weight = weight_of(*messages) + plain->size();
    const auto what = interceptor->in_hand.hold(
        std::make_shared<const offered_batch>(topic_name(), partition, args.producer.name, *plain,
                                              *std::move(messages)),
        weight);
    const auto question = request.question;
    if (!what) {
      offers[partition].push_back({std::move(request), batch, {}, {}});
      return judged(partition, question, no_room());
    }
    offered_bytes += plain->size();
    offers[partition].push_back({std::move(request), batch, *plain, what});
    const auto judge = interceptor->find<interceptor_actor>();
    if (!judge)
      return judged(partition, question, unjudged("is being started again"));
    self->request(judge, args.node->bounds.extensions.interceptor_timeout, atom::intercept_v, what)
        .then(
            [this, partition, question](interception& answer) {
              tell_late(false);
              judged(partition, question, std::move(answer));
            },
            [this, partition, question](const caf::error& why) {
              const bool late = why == caf::sec::request_timeout;
              if (late)
                tell_late(true);
              judged(partition, question,
                     unjudged(late ? "did not answer within extensions.interceptor-timeout"
                                   : "failed (" + to_failure(why).detail + ")"));
            });
  }

  /// What taking it apart adds to a batch; also of an empty one something waits in a mailbox.
  [[nodiscard]] static std::uint64_t weight_of(const std::vector<message_view>& messages) {
    std::uint64_t weight = sizeof(offered_batch) + 256;
    for (const auto& each : messages)
      weight += sizeof each + each.headers.size() * sizeof each.headers.front();
    return weight;
  }

  /// It is not even shown: one that hangs keeps what it was asked about.
  [[nodiscard]] failure no_room() const {
    return {ec::overloaded, "the " + interceptor->title() + " of topic \"" + topic_name() +
                                "\" has " + std::to_string(extension_bytes_max >> 20) +
                                " MiB of batches in hand, as much as it may, so the batch was not "
                                "taken; repeat later"};
  }

  /// Nothing passes unseen: it is refused, and may come again.
  [[nodiscard]] failure unjudged(const std::string& why) const {
    return {ec::extension_failed, "the " + interceptor->title() + " of topic \"" + topic_name() +
                                      "\" " + why + ", so the batch was not taken; repeat"};
  }

  /// Every session of the topic sees it; people are told once.
  void tell_late(bool late) {
    if (interceptor->late.load(std::memory_order_relaxed) == late ||
        interceptor->late.exchange(late) == late)
      return;
    raise_alarm(
        *self,
        {"interceptor-late", interceptor->title(), alarm_level::critical,
         late ? "the " + interceptor->title() + " did not answer within " +
                    to_string(limit_value{args.node->bounds.extensions.interceptor_timeout}) +
                    ": its batches are refused"
              : "the " + interceptor->title() + " answers in time again",
         late});
  }

  template <class Answer>
  void judged(std::uint32_t partition, std::uint64_t question, Answer answer) {
    auto& queue = offers[partition];
    const auto found = std::ranges::find_if(
        queue, [question](const offered& each) { return each.request.question == question; });
    WAYBILL_ASSERT(found != queue.end());
    if constexpr (std::is_same_v<Answer, failure>) {
      found->answer = interception::accept();
      found->request.refused = std::move(answer);
    } else {
      found->answer = std::move(answer);
    }
    while (!queue.empty() && queue.front().answer) {
      auto next = std::move(queue.front());
      queue.pop_front();
      offered_bytes -= next.plain.size();
      go_on(partition, next);
    }
    end_if_idle();
  }

  /// Also what is refused goes to the leader: it may be a repeat of what was taken before.
  void go_on(std::uint32_t partition, offered& what) {
    if (!unanswered.contains(what.request.question))
      return; // its leader has ended meanwhile, and the client knows
    const auto& p = places[partition];
    if (!p.leader) {
      const auto asked = unanswered.extract(what.request.question);
      return args.port->answer(
          asked.mapped().call,
          failure{ec::partition_offline, partition_name(topic_name(), partition) +
                                             " has no leader at this moment; repeat"});
    }
    if (what.request.refused.code == ec::none)
      what.request.refused = carry_out(what);
    pass_on(p, std::move(what.request));
  }

  /// @returns why it is refused, if it is
  failure carry_out(offered& what) const {
    using verdict = interception::verdict;
    const auto& answer = *what.answer;
    switch (answer.what) {
    case verdict::accept:
      what.request.body = body_of(what.request, what.batch.view(), std::nullopt);
      return {ec::none, {}};
    case verdict::reject:
      return {ec::rejected,
              "the " + interceptor->title() + " of topic \"" + topic_name() +
                  "\" rejects the batch: " +
                  cut_reason(answer.reason, args.node->bounds.delivery.reason_bytes_max)};
    case verdict::change:
      break;
    }
    const auto& limits = args.node->bounds.net;
    const auto changed = with_headers(what.plain.view(), answer.changed);
    if (!changed)
      return not_allowed(changed.error());
    if (const auto fits =
            check_batch(*changed, {limits.batch_messages_max, limits.message_bytes_max});
        !fits)
      return not_allowed(fits.error());
    if (changed->size() > limits.batch_bytes_max)
      return not_allowed({ec::batch_too_large, "more than net.batch-bytes-max allows"});
    what.request.body = body_of(what.request, *changed, what.request.hash);
    return {ec::none, {}};
  }

  /// A change that makes no batch of it: the interceptor's fault, and the same with a repeat.
  [[nodiscard]] failure not_allowed(const failure& why) const {
    return {ec::rejected, "what the " + interceptor->title() + " of topic \"" + topic_name() +
                              "\" made of the batch cannot be taken: " + why.detail};
  }

  void published(publish_outcomes& outcomes) {
    for (auto& outcome : outcomes)
      if (const auto found = unanswered.extract(outcome.question))
        args.port->answer(found.mapped().call, std::move(outcome));
    end_if_idle();
  }

  // ---- Leaders that end
  // -----------------------------------------------------------------------------

  void leader_down(const caf::down_msg& down) {
    for (std::uint32_t number = 0; number < places.size(); ++number) {
      auto& p = places[number];
      if (p.leader.address() != down.source)
        continue;
      p.leader = partition_leader_actor{};
      if (opening)
        return refuse(
            {ec::not_leader, "a leader ended while the producer was being opened; repeat"});
      answer_for(number, {ec::not_leader, "the leader of " + partition_name(topic_name(), number) +
                                              " ended before it answered; repeat"});
    }
    end_if_idle();
    look_up_later();
  }

  void answer_for(std::uint32_t number, const failure& why) {
    std::erase_if(unanswered, [&](const auto& each) {
      if (each.second.partition == number)
        args.port->answer(each.second.call, why);
      return each.second.partition == number;
    });
  }

  void look_up_later() {
    if (!looking && !ending) {
      looking = true;
      self->delayed_send(self, look_up_again, atom::tick_v);
    }
  }

  /// The new leader has this producer's opening in its log: nothing is opened again.
  void look_up() {
    look_up_topic(
        self, args.node, topic_name(), [this](const topic_ptr& found, const failure* why) {
          looking = false;
          if ((why && why->code == ec::unknown_topic) || (found && found->id != topic))
            return self->quit(
                to_error({ec::unknown_topic, "the topic \"" + topic_name() + "\" was deleted"}));
          if (found)
            for (std::uint32_t number = 0; number < places.size(); ++number)
              take_place(number, found->partitions[number]);
          if (!std::ranges::all_of(places,
                                   [](const place& p) { return p.leader || is_out_of_service(p); }))
            look_up_later();
        });
  }

  void take_place(std::uint32_t number, const topic_view::place& found) {
    auto& p = places[number];
    if (p.leader || !p.open)
      return;
    if (found.leader)
      bind(number, found.leader);
    else if (found.out_of_service)
      p.out_of_service = found.why;
  }

  // ---- The end
  // --------------------------------------------------------------------------------------

  /// What leaders have is still answered; then the session ends.
  void end() {
    if (opening)
      return refuse({ec::stopping, "the node is stopping; repeat elsewhere or later"});
    ending = true;
    end_if_idle();
  }

  /// Nothing of it comes after this call; what came before is answered first.
  void close(call_id call) {
    closing = call;
    ending = true;
    end_if_idle();
  }

  void end_if_idle() {
    if (!ending || !unanswered.empty())
      return;
    if (closing) {
      args.port->answer(*closing, done{});
      self->quit();
    } else
      self->quit(to_error({ec::stopping, "the node is stopping; repeat elsewhere or later"}));
  }
};

static producer_session_actor::behavior_type
producer_session(producer_session_actor::stateful_pointer<producer_session_state> self,
                 producer_session_args args) {
  auto& state = self->state;
  state.self = self;
  self->set_down_handler([&state](const caf::down_msg& down) { state.leader_down(down); });
  self->set_exit_handler([&state, self](const caf::exit_msg& m) {
    if (to_failure(m.reason).code == ec::stopping)
      state.end();
    else
      self->quit(m.reason);
  });
  state.start(std::move(args));
  return {
      [&state](atom::published, publish_outcomes& outcomes) { state.published(outcomes); },
      [&state](atom::publish, call_id call, std::uint32_t partition, batch_number number,
               batch_number previous, const shared_bytes& batch) {
        state.publish(call, partition, number, previous, batch);
      },
      [&state](atom::close, call_id call) { state.close(call); },
      [self](atom::vanished) { self->quit(); },
      [&state](atom::tick) { state.look_up(); },
  };
}

producer_session_actor spawn_producer_session(caf::actor_system& system,
                                              producer_session_args args) {
  return system.spawn(producer_session, std::move(args));
}

} // namespace waybill
