// Every kind of actor is killed under load, without a chance to tidy up: nothing confirmed is lost,
// service resumes by itself. And where that cannot be: the node ends as a whole, and says why.
#include "tests/node/hosted_node.hpp"
#include "tests/node/session_spy.hpp"
#include "tests/node/traffic.hpp"

#include <catch2/catch.hpp>

#include <cstdio>

using namespace waybill;
using namespace waybill::test;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds patience{20'000};
/// Messages confirmed and consumed after each failure: more than are under way at once, so both
/// partitions must serve.
constexpr std::uint64_t progress = 1'000;

void kill(const caf::strong_actor_ptr& who) {
  caf::anon_send_exit(caf::actor_cast<caf::actor>(who), caf::exit_reason::kill);
}

/// @returns whether there was one
bool kill(const caf::actor_addr& who) {
  const auto alive = caf::actor_cast<caf::strong_actor_ptr>(who);
  if (alive)
    kill(alive);
  return alive != nullptr;
}

std::vector<partition_leader_actor> leaders_of(caf::actor_system& system) {
  const auto supervisor = find_role<partition_supervisor_actor>(system, role::partition_supervisor);
  std::vector<partition_leader_actor> found;
  if (!supervisor)
    return found;
  caf::scoped_actor asker{system};
  asker->request(supervisor, patience, atom::list_v)
      .receive(
          [&found](const topic_list& topics) {
            for (const auto& topic : topics)
              for (const auto& each : topic->partitions)
                if (each.leader)
                  found.push_back(each.leader);
          },
          [](const caf::error&) {});
  return found;
}

/// A node with clients at work, and one that administers beside them.
class household {
public:
  explicit household(std::vector<std::string> flags)
      : node{{.env = &env, .flags = std::move(flags)}} {
    node.start();
    spy_on_sessions(node.system(), sessions);
    clients.emplace(traffic_options{.server = node.server()});
    client_options quiet{.name = "administrator", .call_timeout = milliseconds{10'000}};
    quiet.log = [](const std::string&) {};
    admin.emplace(node.server(), quiet);
    clients->start();
  }

  /// Whether messages are confirmed and consumed from now on, and administration answers.
  void expect_service(const std::string& after) {
    INFO("after the end of " << after);
    const auto began = steady_clock::now();
    const auto confirmed = clients->confirmed();
    const auto consumed = clients->consumed();
    CHECK(comes_true(patience, [&] {
      return clients->confirmed() >= confirmed + progress &&
             clients->consumed() >= consumed + progress;
    }));
    const auto flowing = steady_clock::now();
    CHECK_NOTHROW(admin->describe_topic("orders"));
    CHECK_NOTHROW(admin->audit("orders", 0));
    const auto span = [](auto d) {
      return static_cast<long long>(std::chrono::duration_cast<milliseconds>(d).count());
    };
    std::printf("  %-22s messages flow after %5lld ms, administration answers after %5lld ms\n",
                after.c_str(), span(flowing - began), span(steady_clock::now() - flowing));
  }

  void kill_role(caf::atom_value role) {
    const auto before = node.system().registry().get(role);
    REQUIRE(before);
    kill(before);
    REQUIRE(comes_true(patience, [&] {
      const auto now = node.system().registry().get(role);
      return now && now != before;
    }));
  }

  void finish() {
    clients->stop_producers();
    CHECK(clients->await_settled(patience));
    clients->stop_consumers();
    for (const auto& each : clients->violations())
      FAIL_CHECK(each);
    for (const auto& each : clients->violations_of_books())
      FAIL_CHECK(each);
    std::printf("  %llu messages confirmed, %llu delivered more than once\n",
                static_cast<unsigned long long>(clients->confirmed()),
                static_cast<unsigned long long>(clients->delivered_again()));
  }

  fault_env env;
  hosted_node node;
  std::shared_ptr<known_sessions> sessions = std::make_shared<known_sessions>();
  std::optional<traffic> clients;
  std::optional<client> admin;
};

const std::vector<std::string> many_restarts{"--supervision.restarts-max=1000",
                                             "--partitions.checkpoint-interval=300ms"};

} // namespace

TEST_CASE("an actor with a role that fails is started again, and service resumes") {
  household h{many_restarts};
  h.expect_service("nobody");
  for (const auto each : {role::storage_reader, role::auditor, role::coordinator, role::alarm_desk,
                          role::partition_supervisor}) {
    h.kill_role(each);
    h.expect_service(caf::to_string(each));
  }
  h.finish();
}

TEST_CASE("a partition's leader that fails is followed by another, and service resumes") {
  household h{many_restarts};
  for (int round = 0; round < 3; ++round) {
    REQUIRE(comes_true(patience, [&] { return leaders_of(h.node.system()).size() == 2; }));
    kill(caf::actor_cast<caf::strong_actor_ptr>(leaders_of(h.node.system()).front()));
    h.expect_service("a leader");
  }
  for (const auto& each : leaders_of(h.node.system()))
    kill(caf::actor_cast<caf::strong_actor_ptr>(each));
  h.expect_service("all leaders");
  h.finish();
}

TEST_CASE("sessions that fail are opened again by their clients, and service resumes") {
  household h{many_restarts};
  h.expect_service("nobody");
  const auto kill_all = [&h](auto kind) {
    std::size_t count = 0;
    for (const auto& each : h.sessions->of(kind))
      count += kill(each) ? 1 : 0;
    return count;
  };
  REQUIRE(kill_all(&known_sessions::producers) == 3);
  h.expect_service("producer sessions");
  REQUIRE(kill_all(&known_sessions::consumers) == 2);
  h.expect_service("consumer sessions");
  REQUIRE(kill_all(&known_sessions::admins) >= 4);
  h.expect_service("admin sessions");
  for (int round = 0; round < 3; ++round) {
    h.kill_role(role::session_supervisor);
    h.expect_service("the session supervisor");
  }
  h.finish();
}

TEST_CASE(
    "when the storage writer fails the node ends as a whole, and the next one has everything") {
  household h{many_restarts};
  h.expect_service("nobody");
  kill(h.node.system().registry().get(role::storage_writer));
  const auto failed = h.node.await_failure(patience);
  REQUIRE(failed);
  CHECK(failed->code == ec::storage_failed);
  CHECK_FALSE(failed->detail.empty());
  h.node.start();
  h.expect_service("the node");
  h.finish();
}

TEST_CASE("an actor that fails too often takes the node down, with a sentence") {
  fault_env env;
  hosted_node node{{.env = &env, .flags = {"--supervision.restarts-max=3"}}};
  node.start();
  std::size_t kills = 0;
  while (!node.running().failed() && kills < 100) {
    const auto desk = node.system().registry().get(role::alarm_desk);
    if (!desk)
      continue;
    kill(desk);
    ++kills;
    REQUIRE(comes_true(patience, [&] {
      return node.running().failed() || node.system().registry().get(role::alarm_desk) != desk;
    }));
  }
  const auto failed = node.await_failure(patience);
  REQUIRE(failed);
  CHECK(kills == 4);
  CHECK(failed->detail.find("supervision.restarts-max") != std::string::npos);
  node.start();
}

TEST_CASE("leaders that fail too often end their supervisor, and at last the node") {
  fault_env env;
  hosted_node node{{.env = &env, .flags = {"--supervision.restarts-max=2"}}};
  node.start();
  client{node.server()}.create_topic("orders", 1);
  std::size_t kills = 0;
  while (!node.running().failed() && kills < 100) {
    const auto leaders = leaders_of(node.system());
    if (leaders.empty())
      continue;
    kill(caf::actor_cast<caf::strong_actor_ptr>(leaders.front()));
    ++kills;
    REQUIRE(comes_true(patience, [&] {
      const auto now = leaders_of(node.system());
      return node.running().failed() || (!now.empty() && now.front() != leaders.front());
    }));
  }
  const auto failed = node.await_failure(patience);
  REQUIRE(failed);
  CHECK(kills == 9); // three leaders to a supervisor, and three supervisors
  CHECK(failed->detail.find("supervision.restarts-max") != std::string::npos);
}
