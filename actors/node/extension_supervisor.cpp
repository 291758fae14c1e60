#include "actors/node/extension_supervisor.hpp"

#include "actors/limit_gauge.hpp"
#include "actors/node/not_taken.hpp"
#include "actors/node/restart_intensity.hpp"
#include "actors/node/teller.hpp"

namespace waybill {

namespace {

constexpr milliseconds look_again{100}; ///< for who was not there

} // namespace

struct extension_supervisor_state {
  static inline const char* name = "extension-supervisor";

  struct child {
    child(alarm_way to, const extension_slot& what, const supervision_limits& limits)
        : intensity{limits}, failing{std::move(to), "extension-failing", what.title(),
                                     alarm_level::critical} {}
    restart_intensity intensity;
    standing_alarm failing;
    milliseconds failed_at{};
    std::unique_ptr<teller<buried_ptr>> queue{}; ///< a listener's
  };

  extension_supervisor_actor::stateful_pointer<extension_supervisor_state> self;
  context_ptr node;
  std::vector<std::unique_ptr<child>> children; ///< as on the board
  std::map<caf::actor_addr, std::size_t> running;
  bool tick_armed = false;

  /// Extensions end with their supervisor, however it ends.
  ~extension_supervisor_state() {
    for (const auto& slot : slots()) {
      if (const auto now = slot->current())
        caf::anon_send_exit(caf::actor_cast<caf::actor>(now), caf::exit_reason::user_shutdown);
      slot->set(nullptr);
    }
  }

  [[nodiscard]] const std::vector<std::unique_ptr<extension_slot>>& slots() const {
    return node->extensions.slots();
  }

  void set_up() {
    for (const auto& slot : slots()) {
      auto& added = *children.emplace_back(
          std::make_unique<child>(alarms_of(*self), *slot, node->bounds.supervision));
      if (slot->what() == extension_slot::kind::letter_listener)
        added.queue = std::make_unique<teller<buried_ptr>>(ways_to(*slot),
                                                           node->bounds.extensions.waiting_max);
    }
    for (std::size_t place = 0; place < slots().size(); ++place)
      start(place);
  }

  void start(std::size_t place) {
    auto& slot = *slots()[place];
    try {
      if (const auto started = slot.start(self->system())) {
        running[started->address()] = place;
        self->monitor(started->address());
        slot.set(started);
        arm_tick();
        return;
      }
      failed(place, "its function has started nothing");
    } catch (const std::exception& e) { // the program's own function: nothing of it is known
      failed(place, e.what());
    }
  }

  void ended(const caf::down_msg& down) {
    const auto found = running.extract(down.source);
    if (!found)
      return;
    slots()[found.mapped()]->set(nullptr);
    failed(found.mapped(), to_failure(down.reason).detail);
  }

  void failed(std::size_t place, const std::string& why) {
    const auto title = slots()[place]->title();
    auto& c = *children[place];
    const auto now = now_of(*self).steady;
    const bool may_restart = c.intensity.may_restart(now);
    c.failed_at = now;
    raise_alarm(*self, {"extension-restarted", title, alarm_level::warning,
                        title + " ended and is started again: " + why, true});
    raise_alarm(*self, {"extension-restarted", title, alarm_level::warning, {}, false});
    auto wait = c.intensity.delay();
    if (!may_restart) {
      wait = node->bounds.supervision.restarts_within;
      if (!c.failing.is_raised())
        c.failing.raise(title +
                        " fails more often than supervision.restarts-max allows, and is "
                        "started again every " +
                        to_string(limit_value{wait}) + " only; the last: " + why);
    }
    self->delayed_send(self, wait, atom::create_v, std::uint64_t{place});
    arm_tick();
  }

  // ---- Dead letters
  // -------------------------------------------------------------------------------

  teller<buried_ptr>::ways ways_to(const extension_slot& slot) {
    const auto tell = [this, title = slot.title()](bool raised, std::string words) {
      raise_alarm(*self, {"sink-behind", title, alarm_level::warning, std::move(words), raised});
    };
    return {
        .is_there = [&slot] { return static_cast<bool>(slot.find<letter_listener_actor>()); },
        .ask =
            [this, &slot](const buried_ptr& what, const teller<buried_ptr>::answer& then) {
              self->request(slot.find<letter_listener_actor>(),
                            node->bounds.extensions.listener_timeout, atom::letter_v, what)
                  .then([then](done) { then(nullptr); },
                        [then](const caf::error& error) {
                          const auto why = not_taken(error);
                          then(&why);
                        });
            },
        .behind =
            [tell, title = slot.title()](std::uint64_t lost, const failure& why) {
              tell(true, title + " was not told of " + std::to_string(lost) +
                             " dead letters: " + why.detail);
            },
        .caught_up =
            [tell, title = slot.title()](std::uint64_t lost) {
              tell(false, title + " is told of dead letters again; of " + std::to_string(lost) +
                              " it was not");
            },
        .later = [this] { arm_tick(); },
    };
  }

  void letter(std::uint64_t place, const buried_ptr& what) {
    if (place >= children.size() || !children[place]->queue)
      return;
    auto& queue = *children[place]->queue;
    const auto weight = sizeof(buried_letter) + what->letter.message.size() +
                        what->letter.reason.size() + what->letter.consumer.size();
    if (auto held = slots()[place]->in_hand.hold(what, weight))
      queue.push(std::move(held));
    else
      queue.lose({ec::overloaded, "those that it has in hand or that wait for it weigh " +
                                      std::to_string(extension_bytes_max >> 20) +
                                      " MiB, as much as they may"});
    arm_tick();
  }

  void arm_tick() {
    const bool needed = std::ranges::any_of(children, [](const auto& each) {
      return each->failing.is_raised() || (each->queue && !each->queue->is_idle());
    });
    if (needed && !std::exchange(tick_armed, true))
      self->delayed_send(self, look_again, atom::tick_v);
  }

  void tick() {
    tick_armed = false;
    const auto now = now_of(*self).steady;
    for (std::size_t place = 0; place < children.size(); ++place) {
      auto& c = *children[place];
      if (c.queue)
        c.queue->next();
      const bool there = slots()[place]->current() != nullptr;
      if (c.failing.is_raised() && there &&
          now - c.failed_at > 2 * node->bounds.supervision.restarts_within)
        c.failing.take_back(slots()[place]->title() + " has run for some time without failing");
    }
    arm_tick();
  }
};

static extension_supervisor_actor::behavior_type
extension_supervisor(extension_supervisor_actor::stateful_pointer<extension_supervisor_state> self,
                     context_ptr node) {
  auto& state = self->state;
  state.self = self;
  state.node = std::move(node);
  self->set_down_handler([&state](const caf::down_msg& down) { state.ended(down); });
  state.set_up();
  return {
      [&state](atom::letter, std::uint64_t place, const buried_ptr& what) {
        state.letter(place, what);
      },
      [&state](atom::create, std::uint64_t place) { state.start(place); },
      [&state](atom::tick) { state.tick(); },
  };
}

extension_supervisor_actor spawn_extension_supervisor(caf::actor_system& system, context_ptr node) {
  return system.spawn(extension_supervisor, std::move(node));
}

} // namespace waybill
