#include "actors/session/consumer_session.hpp"

#include "actors/rules/credit_shares.hpp"
#include "actors/session/topic_leaders.hpp"
#include "storage/assert.hpp"
#include "storage/compression.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::size_t consumer_name_bytes_max = 256;
constexpr milliseconds rebalance_interval{50};

} // namespace

struct consumer_session_state {
  static inline const char* name = "consumer-session";

  struct place {
    partition_leader_actor leader; ///< none: it is being looked up
    bool joined = false;
    bool joining = false;
    bool out_of_service = false;                  ///< and nobody looks for its leader
    std::map<message_offset, std::uint32_t> held; ///< delivered and not settled, with their bytes
  };
  struct asked {
    call_id call;
    std::uint32_t partition = 0;
    std::vector<offset_range> ranges;
    bool releases = false;
  };

  consumer_session_actor::stateful_pointer<consumer_session_state> self;
  consumer_session_args args;
  topic_id topic;
  milliseconds lease{};
  std::vector<place> places;
  std::optional<credit_shares> shares;
  std::map<std::uint64_t, asked> unanswered; ///< by question
  std::uint64_t next_question = 1;
  bool opening = true;
  bool ending = false;
  std::optional<call_id> closing; ///< every leader has let it go, as its client asked
  bool ticking = false;

  [[nodiscard]] const subscribe_call& what() const { return args.subscription; }
  [[nodiscard]] milliseconds patience() const { return args.node->bounds.storage.request_timeout; }

  // ---- The beginning
  // --------------------------------------------------------------------------------

  void start(consumer_session_args a) {
    args = std::move(a);
    if (const auto why = bad_call())
      return refuse(*why);
    look_up_topic(self, args.node, what().topic,
                  [this](const topic_ptr& found, const failure* why) {
                    if (why)
                      refuse(*why);
                    else
                      join_everywhere(*found);
                  });
  }

  [[nodiscard]] std::optional<failure> bad_call() const {
    const auto& limits = args.node->bounds.delivery;
    for (const auto& each : {what().topic, what().group})
      if (!is_valid_name(each))
        return failure{ec::bad_name, "\"" + each +
                                         "\" is no name: 1 to 128 of a-z A-Z 0-9 . _ -, "
                                         "not beginning with a dot"};
    if (what().consumer.size() > consumer_name_bytes_max)
      return failure{ec::bad_name, "a consumer's name has 256 bytes at most"};
    return bad_credit(what().credit_messages, what().credit_bytes, limits);
  }

  [[nodiscard]] static std::optional<failure>
  bad_credit(std::uint32_t messages, std::uint64_t bytes, const delivery_limits& limits) {
    if (messages < 1 || bytes < 1)
      return failure{ec::bad_argument, "a consumer's credit is 1 message and 1 byte at least"};
    if (messages > limits.credit_messages_max || bytes > limits.credit_bytes_max)
      return failure{ec::limit_reached, "a consumer's credit is " +
                                            std::to_string(limits.credit_messages_max) +
                                            " messages (delivery.credit-messages-max) and " +
                                            std::to_string(limits.credit_bytes_max) +
                                            " bytes (delivery.credit-bytes-max) at most"};
    return std::nullopt;
  }

  void refuse(const failure& why) {
    if (!opening)
      return;
    opening = false;
    args.port->answer(args.opening, why);
    self->quit(); // leaders that it joined see it end
  }

  void join_everywhere(const topic_view& found) {
    topic = found.id;
    places.resize(found.partitions.size());
    shares.emplace(places.size(), what().credit_messages, what().credit_bytes);
    if (const auto* why = not_ready(found))
      return refuse(*why);
    for (std::uint32_t number = 0; number < places.size(); ++number) {
      places[number].out_of_service = !found.partitions[number].leader;
      if (found.partitions[number].leader)
        join(number, found.partitions[number].leader);
    }
  }

  void join(std::uint32_t number, const partition_leader_actor& leader) {
    auto& p = places[number];
    p.leader = leader;
    p.joining = true;
    self->monitor(leader);
    const auto share = shares->share(number);
    self->request(
            leader, patience(), atom::join_v, caf::actor_cast<receiver_actor>(self),
            join_request{what().group, args.consumer, what().consumer, share.messages, share.bytes})
        .then([this, number](milliseconds group_lease) { joined(number, group_lease); },
              [this, number](const caf::error& error) { not_joined(number, to_failure(error)); });
  }

  void joined(std::uint32_t number, milliseconds group_lease) {
    auto& p = places[number];
    p.joined = true;
    p.joining = false;
    lease = group_lease;
    if (!opening || !std::ranges::all_of(places, is_settled))
      return;
    opening = false;
    args.port->answer(args.opening,
                      subscribed{self, lease, static_cast<std::uint32_t>(places.size())});
    for (auto& early : waiting)
      args.port->deliver(what().subscription, std::move(early));
    waiting.clear();
  }

  [[nodiscard]] static bool is_settled(const place& p) { return p.joined || p.out_of_service; }

  void not_joined(std::uint32_t number, const failure& why) {
    places[number].joining = false;
    if (opening)
      return refuse(why);
    if (why.code == ec::limit_reached || why.code == ec::unknown_topic)
      return self->quit(to_error(why));
    lost(number);
  }

  // ---- Deliveries and what becomes of them
  // -------------------------------------------------------------

  std::vector<chunks> waiting; ///< came before every leader had joined it

  void deliver(chunks& what_came) {
    for (auto& c : what_came) {
      if (!what().accepts_compressed)
        make_plain(c);
      for (const auto& m : c.messages)
        places[c.partition].held.insert_or_assign(m.offset, m.bytes);
      shares->delivered(c.partition, static_cast<std::uint32_t>(c.messages.size()));
    }
    if (opening)
      waiting.push_back(std::move(what_came));
    else
      args.port->deliver(what().subscription, std::move(what_came));
    arm_tick();
  }

  /// For a client without zstd. Of a batch that goes out whole at least half is wanted, so that its
  /// bytes are bounded by the credit like those of one that came plain.
  static void make_plain(chunk& c) {
    auto plain = plain_batch(c.batch);
    WAYBILL_ASSERT(plain); // checked on arrival, and by its hash when it was read
    c.batch = *std::move(plain);
  }

  void settle(call_id call, std::uint32_t partition, settle_request& request) {
    if (partition >= places.size())
      return args.port->answer(call, failure{ec::unknown_partition,
                                             "topic \"" + what().topic + "\" has partitions 0 to " +
                                                 std::to_string(places.size() - 1) + ", not " +
                                                 std::to_string(partition)});
    for (const auto& range : request.ranges)
      if (range.end <= range.first)
        return args.port->answer(call, failure{ec::bad_argument, "a range of offsets is empty"});
    if (const auto longest = args.node->bounds.delivery.lease_max;
        request.span && *request.span > longest)
      return args.port->answer(
          call, failure{ec::bad_argument, "no lease and no delay is longer than " +
                                              to_string(limit_value{longest}) +
                                              " (delivery.lease-max): ask for less"});
    auto& p = places[partition];
    if (!p.joined || request.ranges.empty())
      return args.port->answer(call, settle_outcome{0, {ec::none, {}}, request.ranges});
    request.question = next_question++;
    request.consumer = args.consumer;
    unanswered.emplace(request.question,
                       asked{call, partition, request.ranges, request.kind != settle_kind::extend});
    self->send(p.leader, atom::settle_v, std::move(request));
  }

  void settled(settle_outcomes& outcomes) {
    for (auto& outcome : outcomes)
      if (const auto found = unanswered.extract(outcome.question)) {
        const auto& a = found.mapped();
        if (a.releases)
          release(a.partition, a.ranges);
        args.port->answer(a.call, std::move(outcome));
      }
    close_if_idle();
    arm_tick();
  }

  /// Settled, or lost: either way this consumer holds them no longer.
  void release(std::uint32_t partition, const std::vector<offset_range>& ranges) {
    auto& held = places[partition].held;
    std::uint32_t count = 0;
    for (const auto& range : ranges) {
      auto each = held.lower_bound(range.first);
      while (each != held.end() && each->first < range.end) {
        each = held.erase(each);
        ++count;
      }
    }
    shares->released(partition, count);
  }

  // ---- Credit
  // -----------------------------------------------------------------------------------------

  void credit(call_id call, std::uint32_t messages, std::uint64_t bytes) {
    if (const auto why = bad_credit(messages, bytes, args.node->bounds.delivery))
      return args.port->answer(call, *why);
    shares->resize(messages, bytes);
    if (places.size() == 1)
      tell(0, {messages, bytes});
    rebalance();
    args.port->answer(call, done{});
  }

  void arm_tick() {
    if (!ticking && places.size() > 1 && shares->wanting()) {
      ticking = true;
      self->delayed_send(self, rebalance_interval, atom::tick_v);
    }
  }

  void rebalance() {
    for (const auto& change : shares->rebalance())
      tell(static_cast<std::uint32_t>(change.partition), change.share);
  }

  void tell(std::uint32_t number, const credit_share& share) {
    if (!places[number].joined)
      return shares->confirmed(number); // it is told when it joins
    self->request(places[number].leader, patience(), atom::credit_v, args.consumer, share.messages,
                  share.bytes)
        // An error: the leader has ended, and what was shared with it is shared anew.
        .then([this, number](done) { shares->confirmed(number); }, [](const caf::error&) {});
  }

  void tick() {
    ticking = false;
    look_up_lost();
    rebalance();
    arm_tick();
  }

  // ---- Leaders that end
  // -------------------------------------------------------------------------------

  void leader_down(const caf::down_msg& down) {
    for (std::uint32_t number = 0; number < places.size(); ++number)
      if (places[number].leader.address() == down.source)
        lost(number);
  }

  /// The new leader delivers again what was out here: nothing of it can be settled any more.
  void lost(std::uint32_t number) {
    auto& p = places[number];
    if (!p.held.empty() && !opening)
      args.port->leases_ended(what().subscription, number);
    p.leader = partition_leader_actor{};
    p.joined = p.joining = false;
    p.held.clear();
    shares->forgotten(number);
    if (opening)
      return refuse(
          {ec::not_leader, "a leader ended while the subscription was being made; repeat"});
    std::erase_if(unanswered, [&](const auto& each) {
      const auto& a = each.second;
      if (a.partition == number)
        args.port->answer(a.call, settle_outcome{0, {ec::none, {}}, a.ranges});
      return a.partition == number;
    });
    if (!ticking && !ending) {
      ticking = true;
      self->delayed_send(self, look_up_again, atom::tick_v);
    }
    close_if_idle();
  }

  void look_up_lost() {
    const auto is_lost = [](const place& p) { return !p.leader && !p.out_of_service; };
    if (ending || opening || std::ranges::none_of(places, is_lost))
      return;
    look_up_topic(
        self, args.node, what().topic, [this](const topic_ptr& found, const failure* why) {
          if ((why && why->code == ec::unknown_topic) || (found && found->id != topic))
            return self->quit(
                to_error({ec::unknown_topic, "the topic \"" + what().topic + "\" was deleted"}));
          for (std::uint32_t number = 0; number < places.size(); ++number) {
            auto& p = places[number];
            if (p.leader || p.out_of_service)
              continue;
            p.out_of_service = found && found->partitions[number].out_of_service;
            if (found && found->partitions[number].leader)
              join(number, found->partitions[number].leader);
            else if (!p.out_of_service)
              lost(number);
          }
        });
  }

  // ---- The end
  // ----------------------------------------------------------------------------------------

  /// Leaves everywhere; `then` when all have answered, or are gone.
  void leave(leaving how, std::function<void()> then) {
    ending = true;
    const auto left = std::make_shared<std::size_t>(1);
    const auto one_less = [left, then] {
      if (--*left == 0)
        then();
    };
    for (const auto& p : places)
      if (p.leader) {
        ++*left;
        self->request(p.leader, patience(), atom::leave_v, args.consumer, how)
            .then([one_less](done) { one_less(); }, [one_less](const caf::error&) { one_less(); });
      }
    one_less();
  }

  /// Nothing of it comes after this call; what came before is answered first.
  void close(call_id call) {
    leave(leaving::closed, [this, call] {
      closing = call;
      close_if_idle();
    });
  }

  void close_if_idle() {
    if (!closing || !unanswered.empty())
      return;
    args.port->answer(*closing, done{});
    self->quit();
  }

  void stop() {
    if (opening)
      return refuse({ec::stopping, "the node is stopping; repeat elsewhere or later"});
    leave(leaving::closed, [this] {
      self->quit(to_error({ec::stopping, "the node is stopping; repeat elsewhere or later"}));
    });
  }
};

static consumer_session_actor::behavior_type
consumer_session(consumer_session_actor::stateful_pointer<consumer_session_state> self,
                 consumer_session_args args) {
  auto& state = self->state;
  state.self = self;
  self->set_down_handler([&state](const caf::down_msg& down) { state.leader_down(down); });
  self->set_exit_handler([&state, self](const caf::exit_msg& m) {
    if (to_failure(m.reason).code == ec::stopping)
      state.stop();
    else
      self->quit(m.reason);
  });
  state.start(std::move(args));
  return {
      [&state](atom::deliver, chunks& what) { state.deliver(what); },
      [&state](atom::settled, settle_outcomes& outcomes) { state.settled(outcomes); },
      [self](atom::ended, std::uint32_t, const caf::error& why) { self->quit(why); },
      [&state](atom::settle, call_id call, std::uint32_t partition, settle_request& request) {
        state.settle(call, partition, request);
      },
      [&state](atom::credit, call_id call, std::uint32_t messages, std::uint64_t bytes) {
        state.credit(call, messages, bytes);
      },
      [&state](atom::close, call_id call) { state.close(call); },
      [&state, self](atom::vanished) { state.leave(leaving::vanished, [self] { self->quit(); }); },
      [&state](atom::tick) { state.tick(); },
  };
}

consumer_session_actor spawn_consumer_session(caf::actor_system& system,
                                              consumer_session_args args) {
  return system.spawn(consumer_session, std::move(args));
}

} // namespace waybill
