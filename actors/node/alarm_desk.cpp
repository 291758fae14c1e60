#include "actors/node/alarm_desk.hpp"

#include "actors/node/not_taken.hpp"
#include "actors/node/teller.hpp"

#include <list>

namespace waybill {

namespace {

constexpr const char* sink_behind = "sink-behind";
constexpr milliseconds look_again{100};      ///< for a sink that was not there
constexpr std::size_t followers_max = 1'000; ///< who wait for news; further ones are refused

} // namespace

struct alarm_desk_state {
  static inline const char* name = "alarm-desk";

  struct follower {
    std::uint64_t after = 0;
    milliseconds until{};
    caf::typed_response_promise<alarm_news_ptr> answer;
  };
  struct line {
    alarm_sink sink;
    std::unique_ptr<teller<alarm_report>> queue{};
    caf::actor_addr
        ended{}; ///< the one that ended while it was asked: whoever follows it is waited for
  };

  alarm_desk_actor::stateful_pointer<alarm_desk_state> self;
  alarm_desk_args args;
  std::list<line> lines;
  std::vector<follower> followers;
  std::optional<milliseconds> tick_armed;

  /// What no sink has been handed yet is: a node that fails says why before it is gone.
  ~alarm_desk_state() {
    for (auto& each : lines)
      if (const auto sink = each.sink.find())
        for (auto& report : each.queue->take_rest())
          caf::anon_send(sink, atom::alarm_v, std::move(report));
  }

  void start(alarm_desk_args a) {
    args = std::move(a);
    for (auto& sink : args.sinks) {
      auto& added = lines.emplace_back(line{sink});
      added.queue = std::make_unique<teller<alarm_report>>(ways_to(added), sink.waiting_max);
    }
  }

  teller<alarm_report>::ways ways_to(line& of) {
    const auto& sink = of.sink;
    return {
        .is_there = [&of] { return static_cast<bool>(of.sink.find()); },
        .ask =
            [this, &of](const alarm_report& report, const teller<alarm_report>::answer& then) {
              self->request(of.sink.find(), args.patience, atom::alarm_v, report)
                  .then([then](done) { then(nullptr); },
                        [then](const caf::error& error) {
                          const auto why = not_taken(error);
                          then(&why);
                        });
            },
        .behind =
            [this, &sink](std::uint64_t lost, const failure& why) {
              tell_later({sink_behind, sink.name, alarm_level::warning,
                          "the alarm sink " + sink.name + " was not told of " +
                              std::to_string(lost) + " alarms: " + why.detail,
                          true});
            },
        .caught_up =
            [this, &sink](std::uint64_t lost) {
              tell_later({sink_behind, sink.name, alarm_level::warning,
                          "the alarm sink " + sink.name + " is told of alarms again; of " +
                              std::to_string(lost) + " it was not",
                          false});
            },
        .later = [this] { arm_tick(); },
    };
  }

  /// Not out of the midst of a sink's queue.
  void tell_later(alarm_report report) { self->send(self, atom::alarm_v, std::move(report)); }

  void take(const alarm_report& report) {
    hand_out(args.book->take(report, now_of(*self)));
    arm_tick();
  }

  /// A sink that fails at such news would make more of it without an end.
  [[nodiscard]] static bool speaks_of(const alarm_report& report, const alarm_sink& sink) {
    return report.name == sink_behind && report.subject == sink.name;
  }

  void hand_out(const std::vector<alarm_report>& news) {
    if (news.empty())
      return;
    for (const auto& report : news)
      for (auto& each : lines)
        if (!speaks_of(report, each.sink))
          each.queue->push(report);
    for (auto& each : followers)
      answer(each);
    followers.clear();
  }

  void answer(follower& who) {
    who.answer.deliver(std::make_shared<const alarm_news>(args.book->news_after(who.after)));
  }

  caf::result<alarm_news_ptr> follow(std::uint64_t after, milliseconds patience) {
    if (args.book->last() <= after && patience > milliseconds{0} &&
        followers.size() >= followers_max)
      return to_error({ec::overloaded, "as many wait for news of alarms as the node allows (" +
                                           std::to_string(followers_max) + "); ask later"});
    follower who{after, now_of(*self).steady + patience,
                 self->make_response_promise<alarm_news_ptr>()};
    const auto promised = who.answer;
    if (args.book->last() > after || patience <= milliseconds{0})
      answer(who);
    else
      followers.push_back(std::move(who));
    arm_tick();
    return promised;
  }

  void arm_tick() {
    const auto now = now_of(*self).steady;
    auto next = args.book->next_tick();
    for (const auto& each : followers)
      next = next ? std::min(*next, each.until) : each.until;
    if (std::ranges::any_of(lines, [](const line& each) { return !each.queue->is_idle(); }))
      next = next ? std::min(*next, now + look_again) : now + look_again;
    if (!next || (tick_armed && *tick_armed <= *next))
      return;
    tick_armed = next;
    self->delayed_send(self, std::max(milliseconds{0}, *next - now), atom::tick_v);
  }

  void tick() {
    tick_armed.reset();
    const auto now = now_of(*self);
    hand_out(args.book->tick(now));
    for (auto& each : lines)
      each.queue->next();
    for (auto& each : followers)
      if (each.until <= now.steady)
        answer(each);
    std::erase_if(followers, [](const follower& each) { return !each.answer.pending(); });
    arm_tick();
  }
};

static alarm_desk_actor::behavior_type
alarm_desk(alarm_desk_actor::stateful_pointer<alarm_desk_state> self, alarm_desk_args args) {
  auto& state = self->state;
  state.self = self;
  state.start(std::move(args));
  return {
      [&state](atom::alarm, const alarm_report& report) { state.take(report); },
      [&state](atom::list) { return state.args.book->raised(); },
      [&state](atom::follow, std::uint64_t after, milliseconds patience) {
        return state.follow(after, patience);
      },
      [&state](atom::tick) { state.tick(); },
  };
}

alarm_desk_actor spawn_alarm_desk(caf::actor_system& system, alarm_desk_args args) {
  return system.spawn(alarm_desk, std::move(args));
}

} // namespace waybill
