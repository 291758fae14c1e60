#include "actors/node/node_supervisor.hpp"

#include "actors/coordination/embedded_coordinator.hpp"
#include "actors/node/alarm_desk.hpp"
#include "actors/node/extension_supervisor.hpp"
#include "actors/node/restart_intensity.hpp"
#include "actors/node/storage_reader.hpp"
#include "actors/node/storage_writer.hpp"
#include "actors/partition/partition_supervisor.hpp"
#include "actors/session/session_supervisor.hpp"

#include <algorithm>
#include <array>

namespace waybill {

namespace {

/// In the order in which they are started; they end in the opposite one.
constexpr std::array roles{
    role::alarm_desk, role::extensions,  role::storage_writer,       role::storage_reader,
    role::auditor,    role::coordinator, role::partition_supervisor, role::session_supervisor};
constexpr std::chrono::seconds stop_patience{30};
constexpr std::uint64_t log_waiting_max = 10'000; ///< alarms that wait to be written

} // namespace

struct node_supervisor_state {
  static inline const char* name = "node-supervisor";

  node_supervisor_actor::stateful_pointer<node_supervisor_state> self;
  node_supervisor_args args;
  std::map<caf::actor_addr, caf::atom_value> children;
  std::optional<restart_intensity> intensity;
  std::shared_ptr<alarm_book> alarms; ///< what stands; outlives a desk that fails
  bool stopping = false;
  std::size_t ending = roles.size();      ///< children before this one are still to be ended
  std::optional<caf::atom_value> awaited; ///< the child that was told to end last
  caf::typed_response_promise<done> stopper;
  caf::typed_response_promise<done> opener; ///< waits until partitions lead

  ~node_supervisor_state() {
    for (const auto& [address, what] : children)
      if (const auto child = caf::actor_cast<caf::strong_actor_ptr>(address))
        caf::anon_send_exit(caf::actor_cast<caf::actor>(child), caf::exit_reason::user_shutdown);
  }

  void start(node_supervisor_args a) {
    args = std::move(a);
    intensity.emplace(args.node->bounds.supervision);
    alarms = std::make_shared<alarm_book>(args.node->bounds.supervision);
    for (const auto each : roles)
      start_child(each);
  }

  void start_child(caf::atom_value what) {
    auto& system = self->system();
    const auto child = spawn_child(what);
    system.registry().put(what, child);
    self->monitor(child->address());
    children[child->address()] = what;
    if (what == role::partition_supervisor && opener.pending())
      ask_partitions(); // its forerunner took the question along
  }

  caf::strong_actor_ptr spawn_child(caf::atom_value what) {
    auto& system = self->system();
    const auto strong = [](const auto& handle) {
      return caf::actor_cast<caf::strong_actor_ptr>(handle);
    };
    if (what == role::alarm_desk)
      return strong(spawn_alarm_desk(system, desk_args()));
    if (what == role::extensions)
      return strong(spawn_extension_supervisor(system, args.node));
    if (what == role::storage_writer)
      return strong(spawn_storage_writer(system, args.node));
    if (what == role::coordinator)
      return strong(spawn_embedded_coordinator(system, args.node));
    if (what == role::partition_supervisor)
      return strong(spawn_partition_supervisor(system, args.node));
    if (what == role::session_supervisor)
      return strong(spawn_session_supervisor(system, args.node));
    return strong(spawn_storage_reader(system, args.node)); // the reader and the auditor
  }

  [[nodiscard]] alarm_desk_args desk_args() const {
    const auto& bounds = args.node->bounds.extensions;
    alarm_desk_args desk{alarms, bounds.listener_timeout, {}};
    desk.sinks.push_back({"log", [log = args.log] { return log; }, log_waiting_max});
    for (const auto& slot : args.node->extensions.slots())
      if (slot->what() == extension_slot::kind::alarm_sink)
        desk.sinks.push_back({slot->name(),
                              [&from = *slot] { return from.find<alarm_sink_actor>(); },
                              bounds.waiting_max});
    return desk;
  }

  void child_down(const caf::down_msg& down) {
    const auto found = children.find(down.source);
    if (found == children.end())
      return;
    const auto what = found->second;
    children.erase(found);
    self->system().registry().erase(what);
    if (stopping) {
      // One that ends before its turn must not set off a second row: who is left would be
      // forgotten.
      if (awaited == what)
        end_next();
      return;
    }
    const auto why = to_failure(down.reason);
    if (what == role::storage_writer)
      return fail({ec::storage_failed, why.detail});
    if (!intensity->may_restart(now_of(*self).steady))
      return fail({ec::internal, "\"" + to_string(what) +
                                     "\" and its like fail too often "
                                     "(supervision.restarts-max); the last: " +
                                     why.detail});
    raise_alarm(*self,
                {"actor-restarted", to_string(what), alarm_level::warning,
                 "\"" + to_string(what) + "\" ended and is started again: " + why.detail, true});
    raise_alarm(*self, {"actor-restarted", to_string(what), alarm_level::warning, {}, false});
    self->delayed_send(self, intensity->delay(), atom::create_v, what);
  }

  /// A coordinator reads the store when it starts: what its forerunner handed to the writer comes
  /// first.
  void restart(caf::atom_value what) {
    if (stopping)
      return;
    if (what != role::coordinator)
      return start_child(what);
    const auto writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    // Without a time-out: the writer answers, or ends and this node with it.
    self->request(writer, caf::infinite, atom::record_v, record_list{})
        .then(
            [this, what](done) {
              if (!stopping) // its turn to end may be over
                start_child(what);
            },
            [](const caf::error&) {});
  }

  void fail(const failure& why) {
    for (const auto each : roles)
      self->system().registry().erase(each);
    // Who waits is told: one that dies with its actor is never answered.
    for (auto* waiting : {&stopper, &opener})
      if (waiting->pending())
        waiting->deliver(to_error(why));
    self->quit(to_error(why));
  }

  caf::result<done> opened() {
    opener = self->make_response_promise<done>();
    const auto answer = opener;
    ask_partitions();
    return answer;
  }

  void ask_partitions() {
    const auto partitions =
        find_role<partition_supervisor_actor>(self->system(), role::partition_supervisor);
    // Without a time-out: the more there is to recover, the longer it takes; the caller has its
    // own. An error says that it has ended: whoever follows it is asked again.
    self->request(partitions, caf::infinite, atom::open_v)
        .then(
            [this](done) {
              if (opener.pending())
                opener.deliver(done{});
            },
            [](const caf::error&) {});
  }

  /// Sessions first, then leaders, then everyone else from the top down; the writer writes what
  /// waits.
  caf::result<done> stop() {
    stopping = true;
    stopper = self->make_response_promise<done>();
    const auto sessions =
        find_role<session_supervisor_actor>(self->system(), role::session_supervisor);
    self->request(sessions, stop_patience, atom::stop_v)
        .then([this](done) { stop_leaders(); }, [this](const caf::error&) { stop_leaders(); });
    return stopper;
  }

  void stop_leaders() {
    const auto partitions =
        find_role<partition_supervisor_actor>(self->system(), role::partition_supervisor);
    self->request(partitions, stop_patience, atom::stop_v)
        .then([this](done) { end_next(); }, [this](const caf::error&) { end_next(); });
  }

  void end_next() {
    while (ending > 0) {
      --ending;
      const auto found = std::ranges::find(
          children, roles[ending], &std::pair<const caf::actor_addr, caf::atom_value>::second);
      if (found == children.end())
        continue;
      if (const auto child = caf::actor_cast<caf::strong_actor_ptr>(found->first)) {
        awaited = found->second;
        self->send_exit(caf::actor_cast<caf::actor>(child), caf::exit_reason::user_shutdown);
        return; // its end calls again
      }
    }
    stopper.deliver(done{});
    self->quit();
  }
};

static node_supervisor_actor::behavior_type
node_supervisor(node_supervisor_actor::stateful_pointer<node_supervisor_state> self,
                node_supervisor_args args) {
  auto& state = self->state;
  state.self = self;
  self->set_down_handler([&state](const caf::down_msg& down) { state.child_down(down); });
  state.start(std::move(args));
  return {
      [&state](atom::open) { return state.opened(); },
      [&state](atom::create, caf::atom_value what) { state.restart(what); },
      [&state](atom::stop) { return state.stop(); },
  };
}

node_supervisor_actor spawn_node_supervisor(caf::actor_system& system, node_supervisor_args args) {
  return system.spawn(node_supervisor, std::move(args));
}

} // namespace waybill
