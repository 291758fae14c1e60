#include "apps/node/node.hpp"

#include "actors/extension_board.hpp"
#include "actors/limit_gauge.hpp"
#include "actors/node/alarm_log.hpp"
#include "actors/node/node_supervisor.hpp"
#include "net/rpc/rpc_server.hpp"
#include "storage/store.hpp"

#include <array>
#include <filesystem>
#include <mutex>
#include <random>

namespace waybill {

namespace {

process_id draw_process_id() {
  std::random_device source;
  return process_id{(std::uint64_t{source()} << 32) | source()};
}

store_options options_of(const node_config& config, const node_options& options) {
  const auto& bounds = config.bounds().storage;
  store_options result;
  result.directory = config.values().node.data_dir;
  result.generation_bytes = bounds.generation_bytes;
  result.generation_entries = bounds.generation_entries;
  result.write_buffer_bytes = bounds.write_buffer_bytes;
  result.block_cache_bytes = bounds.block_cache_bytes;
  result.open_generations_max = bounds.open_generations_max;
  result.tables_bytes_max = bounds.tables_bytes_max;
  result.empty_below_percent = bounds.empty_below_percent;
  result.env = options.env;
  result.disk_free = options.disk_free;
  result.log = [log = options.log](const std::string& line) { log(log_level::info, line); };
  return result;
}

/// What a node cannot serve without. Not the storage readers: a long walk of theirs is no hang.
constexpr std::array<std::pair<caf::atom_value, std::string_view>, 5> needed{{
    {role::storage_writer, "the storage writer"},
    {role::coordinator, "the coordinator"},
    {role::partition_supervisor, "the partition supervisor"},
    {role::session_supervisor, "the session supervisor"},
    {role::alarm_desk, "the alarm desk"},
}};

failure no_answer(std::string_view who, milliseconds patience) {
  return {ec::timed_out,
          std::string{who} + " has not answered for " + to_string(limit_value{patience})};
}

/// Tells the node when its root ends.
caf::behavior root_watcher(caf::event_based_actor* self, node_supervisor_actor root,
                           std::function<void(const caf::error&)> ended) {
  self->monitor(root);
  self->set_down_handler([self, ended](const caf::down_msg& down) {
    ended(down.reason);
    self->quit();
  });
  return {[](atom::stop) {}};
}

} // namespace

struct node::impl {
  node_config& config;
  node_options options;
  context_ptr context;
  std::unique_ptr<caf::actor_system> system;
  alarm_log_actor alarm_log;
  node_supervisor_actor root;
  caf::actor watcher; ///< held: an actor that nobody can reach is taken away, and tells nothing
  std::optional<limit_gauge> connections; ///< looked at by the server's thread
  std::unique_ptr<rpc::rpc_server> server;

  std::mutex guard;
  bool stopped = false;
  std::optional<failure> why;
  std::function<void(const failure&)> then;

  impl(node_config& c, node_options o) : config{c}, options{std::move(o)} {}

  result<void> start() {
    if (auto free = look_at_port(); !free)
      return free;
    auto opened = store::open(options_of(config, options));
    if (!opened)
      return opened.error();
    const auto& settings = config.values();
    context = std::make_shared<node_context>(config.bounds(), settings.node.id, draw_process_id(),
                                             std::shared_ptr<store>{*std::move(opened)});
    context->development = config.development();
    context->extensions.fill(config.extensions(), places_of(settings));
    config.add_message_types<caf::id_block::waybill>();
    system = std::make_unique<caf::actor_system>(config);
    alarm_log = spawn_alarm_log(*system, [this](const alarm_report& a) { tell(a); });
    root = spawn_node_supervisor(*system, {context, alarm_log});
    watcher = system->spawn<caf::hidden>(root_watcher, root,
                                         [this](const caf::error& reason) { root_ended(reason); });
    caf::scoped_actor asker{*system};
    result<void> outcome;
    // Without a time-out: recovery takes as long as there is to recover; a root that fails answers.
    asker->request(root, caf::infinite, atom::open_v)
        .receive([](done) {}, [&](const caf::error& error) { outcome = to_failure(error); });
    if (!outcome)
      return outcome;
    return listen();
  }

  /// A start that must fail leaves no new data directory behind. Where there is one, the sentence
  /// about who holds it says more than one about the port.
  [[nodiscard]] result<void> look_at_port() const {
    const auto& settings = config.values();
    std::error_code unknown;
    if (std::filesystem::exists(settings.node.data_dir / "FORMAT", unknown))
      return {};
    return rpc::rpc_server::probe(to_string(settings.net.listen));
  }

  result<void> listen() {
    const auto& settings = config.values();
    connections.emplace(
        [this](alarm_report report) {
          if (auto desk = find_role<alarm_desk_actor>(*system, role::alarm_desk))
            caf::anon_send(desk, atom::alarm_v, std::move(report));
        },
        "net.connections-max", "", near_limit{config.bounds().net.connections_max});
    auto started = rpc::rpc_server::start({
        to_string(settings.net.listen),
        settings.node.id,
        context->development,
        config.bounds().net,
        config.bounds().producers.remembered_batches,
        [this] { return find_role<session_supervisor_actor>(*system, role::session_supervisor); },
        [log = options.log](const std::string& line) { log(log_level::info, line); },
        [this](std::uint64_t open) { connections->look(open); },
    });
    if (!started)
      return started.error();
    server = *std::move(started);
    return {};
  }

  void end_log();

  void tell(const alarm_report& alarm) const {
    if (!alarm.raised) {
      if (!alarm.detail.empty())
        options.log(log_level::info, alarm.name + " is over: " + alarm.detail);
      return;
    }
    const auto level = alarm.level == alarm_level::critical  ? log_level::error
                       : alarm.level == alarm_level::warning ? log_level::warning
                                                             : log_level::info;
    options.log(level, "ALARM " + alarm.name + " (" + alarm.subject + "): " + alarm.detail +
                           (alarm.advice.empty() ? "" : ". " + alarm.advice));
  }

  void root_ended(const caf::error& reason) {
    std::function<void(const failure&)> callback;
    {
      const std::lock_guard lock{guard};
      if (stopped)
        return;
      why = to_failure(reason);
      callback = then;
    }
    if (callback)
      callback(*why);
  }

  result<void> answers(milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    caf::scoped_actor asker{*system};
    // CAF itself answers this for every actor, between two of its messages: who does is not stuck.
    const auto ask = [&](const caf::strong_actor_ptr& who) {
      return asker->request(caf::actor_cast<caf::actor>(who), patience, caf::sys_atom_v,
                            caf::get_atom_v, std::string{"info"});
    };
    std::vector<std::pair<std::string_view, decltype(ask(nullptr))>> asked;
    asked.emplace_back("the node supervisor", ask(caf::actor_cast<caf::strong_actor_ptr>(root)));
    for (const auto& [role, words] : needed)
      if (const auto now = system->registry().get(role))
        asked.emplace_back(words, ask(now));
    result<void> outcome;
    for (auto& [words, answer] : asked)
      answer.receive(
          [](caf::ok_atom, const std::string&, const caf::strong_actor_ptr&, const std::string&) {},
          [&outcome, w = words, patience](const caf::error& why) {
            // Any other error: it has ended meanwhile, and its parent knows.
            if (why == caf::sec::request_timeout && outcome)
              outcome = no_answer(w, patience);
          });
    const auto left =
        std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
    if (outcome && !server->answers(std::max(left, milliseconds{0})))
      outcome = no_answer("the server's loop", patience);
    return outcome;
  }

  void stop() {
    bool failed = false;
    {
      const std::lock_guard lock{guard};
      if (std::exchange(stopped, true))
        return;
      failed = why.has_value();
    }
    if (server)
      server->stop_accepting();
    if (system && !failed) {
      caf::scoped_actor asker{*system};
      // Every step below has its own patience, so this ends.
      asker->request(root, caf::infinite, atom::stop_v)
          .receive([](done) {}, [](const caf::error&) {});
    }
    server.reset();
    connections.reset();
    root = node_supervisor_actor{};
    watcher = caf::actor{};
    end_log();
    system.reset();
    context.reset();
  }
};

/// The last of all: what the others had to say is written by then.
void node::impl::end_log() {
  if (!alarm_log)
    return;
  system->await_all_actors_done();
  caf::scoped_actor asker{*system};
  caf::anon_send(alarm_log, atom::stop_v);
  asker->wait_for(alarm_log);
  alarm_log = alarm_log_actor{};
}

node::node(std::unique_ptr<impl> started) : impl_{std::move(started)} {}

result<std::unique_ptr<node>> node::start(node_config& config, node_options options) {
  auto made = std::make_unique<impl>(config, std::move(options));
  if (const auto started = made->start(); !started) {
    made->stop();
    return started.error();
  }
  return std::unique_ptr<node>{new node{std::move(made)}};
}

node::~node() { impl_->stop(); }

std::uint16_t node::port() const { return impl_->server->port(); }

void node::stop() { impl_->stop(); }

std::optional<failure> node::failed() const {
  const std::lock_guard lock{impl_->guard};
  return impl_->why;
}

void node::on_failure(std::function<void(const failure&)> then) {
  std::optional<failure> already;
  {
    const std::lock_guard lock{impl_->guard};
    impl_->then = then;
    already = impl_->why;
  }
  if (already)
    then(*already);
}

result<void> node::answers(milliseconds patience) { return impl_->answers(patience); }

store_statistics node::statistics() const { return impl_->context->data->statistics(); }

caf::actor_system& node::system() { return *impl_->system; }

} // namespace waybill
