// The alarm desk and its sinks: one that is slow, fails or is not there holds up nobody, and what
// it was not told of is counted.
#include "actors/node/alarm_desk.hpp"

#include "actors/node/alarm_log.hpp"

#include <catch2/catch.hpp>

#include <condition_variable>
#include <mutex>

using namespace waybill;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds patience{20};

struct system_config : caf::actor_system_config {
  system_config() { add_message_types<caf::id_block::waybill>(); }
};

/// What sinks were told, from any thread.
struct heard {
  std::mutex guard;
  std::condition_variable changed;
  std::vector<std::string> words;

  void add(const alarm_report& report) {
    const std::lock_guard lock{guard};
    words.push_back((report.raised ? "" : "over ") + report.name + " " + report.subject);
    changed.notify_all();
  }
  /// Whether all of these come, in this order, whatever stands between them.
  bool has(const std::vector<std::string>& wanted) {
    std::unique_lock lock{guard};
    return changed.wait_for(lock, patience, [&] {
      auto next = wanted.begin();
      for (const auto& each : words)
        if (next != wanted.end() && each == *next)
          ++next;
      return next == wanted.end();
    });
  }
};

struct unanswered {
  std::vector<caf::typed_response_promise<done>> promises;
};

/// Never answers; ends when it is told of an alarm of the name `poison`. (CAF dereferences a null
/// pointer where an actor's function takes nothing, which the sanitizers stop at.)
alarm_sink_actor::behavior_type deaf_sink(alarm_sink_actor::stateful_pointer<unanswered> self,
                                          const std::string& poison) {
  return {[self, poison](atom::alarm, const alarm_report& report) -> caf::result<done> {
    if (report.name == poison)
      self->quit(caf::make_error(ec::internal));
    self->state.promises.push_back(self->make_response_promise<done>());
    return self->state.promises.back();
  }};
}

/// Takes what is raised, and fails at what is over.
alarm_sink_actor::behavior_type one_eyed_sink(alarm_sink_actor::pointer, heard* told) {
  return {[told](atom::alarm, const alarm_report& report) -> caf::result<done> {
    told->add(report);
    if (!report.raised)
      return caf::make_error(ec::internal);
    return done{};
  }};
}

struct scene {
  explicit scene(std::vector<alarm_sink> further, milliseconds sink_patience = 50ms) {
    log = spawn_alarm_log(system, [this](const alarm_report& report) { said.add(report); });
    std::vector<alarm_sink> sinks{{"log", [this] { return log; }, 100}};
    sinks.insert(sinks.end(), further.begin(), further.end());
    desk = spawn_alarm_desk(system, {book, sink_patience, sinks});
  }
  ~scene() {
    caf::anon_send_exit(desk, caf::exit_reason::user_shutdown);
    caf::scoped_actor asker{system};
    asker->wait_for(desk);
    caf::anon_send(log, atom::stop_v);
    asker->wait_for(log);
  }

  void raise(const std::string& name, const std::string& subject, bool raised = true) {
    caf::anon_send(desk, atom::alarm_v,
                   alarm_report{name, subject, alarm_level::warning, "words", raised});
  }
  alarm_news news(std::uint64_t after, milliseconds wait) {
    alarm_news result;
    caf::scoped_actor asker{system};
    asker->request(desk, patience, atom::follow_v, after, wait)
        .receive([&](const alarm_news_ptr& found) { result = *found; },
                 [](const caf::error& why) { FAIL(to_failure(why).detail); });
    return result;
  }

  system_config config;
  caf::actor_system system{config};
  heard said;
  std::shared_ptr<alarm_book> book = std::make_shared<alarm_book>(supervision_limits{});
  alarm_log_actor log;
  alarm_desk_actor desk;
};

} // namespace

TEST_CASE("a sink that never answers holds up neither the log nor who asks", "[alarms]") {
  std::mutex guard;
  alarm_sink_actor deaf;
  scene s{{{"pager",
            [&] {
              const std::lock_guard lock{guard};
              return deaf;
            },
            3}}};
  deaf = s.system.spawn(deaf_sink, std::string{"poison"}); // nobody has asked for it yet
  s.raise("disk-full", "a");
  CHECK(s.said.has({"disk-full a", "sink-behind pager"}));
  for (int i = 0; i < 20; ++i)
    s.raise("limit-near", std::to_string(i));
  CHECK(s.said.has({"limit-near 0", "limit-near 19"}));
  CHECK(s.news(0, 0ms).raised.size() == 22);
  caf::anon_send_exit(deaf, caf::exit_reason::user_shutdown);
  const std::lock_guard lock{guard};
  deaf = alarm_sink_actor{};
}

TEST_CASE("a sink that ends at an alarm is told the next ones by who follows it", "[alarms]") {
  heard pager; // sinks may hear of alarms until the system has ended
  std::mutex guard;
  alarm_sink_actor now;
  scene s{{{"pager",
            [&] {
              const std::lock_guard lock{guard};
              return now;
            },
            100}},
          10s};
  now = s.system.spawn(deaf_sink, std::string{"poison"});
  s.raise("poison", "a");
  CHECK(s.said.has({"poison a", "sink-behind pager"}));
  const auto next = spawn_alarm_log(s.system, [&](const alarm_report& r) { pager.add(r); });
  {
    const std::lock_guard lock{guard};
    now = next;
  }
  s.raise("disk-full", "b");
  CHECK(pager.has({"disk-full b"}));
  CHECK(s.said.has({"over sink-behind pager"}));
  {
    const std::lock_guard lock{guard};
    now = alarm_sink_actor{};
  }
  caf::anon_send(next, atom::stop_v);
  caf::scoped_actor asker{s.system};
  asker->wait_for(next);
}

TEST_CASE("a sink that fails at some alarms is not told that it does, time and again", "[alarms]") {
  heard pager; // sinks may hear of alarms until the system has ended
  std::mutex guard;
  alarm_sink_actor sink;
  scene s{{{"pager",
            [&] {
              const std::lock_guard lock{guard};
              return sink;
            },
            100}}};
  sink = s.system.spawn(one_eyed_sink, &pager); // nobody has asked for it yet
  s.raise("disk-full", "a");
  s.raise("disk-full", "a", false);
  CHECK(s.said.has({"sink-behind pager"}));
  s.raise("disk-full", "b");
  CHECK(s.said.has({"sink-behind pager", "over sink-behind pager"}));
  s.raise("disk-full", "c");
  CHECK(pager.has({"disk-full a", "over disk-full a", "disk-full b", "disk-full c"}));
  {
    const std::lock_guard lock{pager.guard};
    CHECK(pager.words.size() == 4);
  }
  caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  const std::lock_guard lock{guard};
  sink = alarm_sink_actor{};
}

TEST_CASE("who follows waits for news, and no longer than was said", "[alarms]") {
  scene s{{}};
  CHECK(s.news(0, 20ms).last == 0);
  caf::scoped_actor asker{s.system};
  auto asked =
      asker->request(s.desk, patience, atom::follow_v, std::uint64_t{0}, milliseconds{patience});
  s.raise("disk-full", "a");
  asked.receive(
      [](const alarm_news_ptr& found) {
        CHECK(found->last == 1);
        CHECK(found->changes.size() == 1);
      },
      [](const caf::error& why) { FAIL(to_failure(why).detail); });
}

TEST_CASE("what stands outlives a desk that fails", "[alarms]") {
  scene s{{}};
  s.raise("disk-full", "a");
  CHECK(s.said.has({"disk-full a"}));
  caf::anon_send_exit(s.desk, caf::exit_reason::kill);
  caf::scoped_actor asker{s.system};
  asker->wait_for(s.desk);
  s.desk = spawn_alarm_desk(s.system, {s.book, 50ms, {{"log", [&s] { return s.log; }, 100}}});
  CHECK(s.news(0, 0ms).raised.size() == 1);
  s.raise("disk-full", "a", false);
  CHECK(s.said.has({"disk-full a", "over disk-full a"}));
}
