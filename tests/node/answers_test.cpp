// Whether a node says truly that it answers: as long as all of its parts do, and no longer.
#include "tests/node/hosted_node.hpp"

#include "actors/context.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <latch>

using namespace waybill;
using namespace waybill::test;
using namespace std::chrono_literals;

namespace {

constexpr milliseconds patience{20'000}; ///< for what does answer
constexpr milliseconds brief{100};       ///< for what does not

/// What keeps an actor in a handler until the test lets it go.
class obstacle {
public:
  obstacle() = default;
  ~obstacle() { remove(); }
  obstacle(const obstacle&) = delete;
  obstacle& operator=(const obstacle&) = delete;
  void meet() {
    met_.count_down();
    gone_.wait();
  }
  void await_somebody() const { met_.wait(); }
  void remove() {
    if (!std::exchange(removed_, true))
      gone_.count_down();
  }

private:
  bool removed_ = false; ///< the test's own
  std::latch met_{1}, gone_{1};
};

caf::behavior stuck_actor(caf::event_based_actor*, obstacle* in_the_way) {
  return {[in_the_way](atom::tick) { in_the_way->meet(); }};
}

} // namespace

TEST_CASE("a node answers while it serves") {
  fault_env env;
  hosted_node node{{.env = &env}};
  node.start();
  CHECK(node.running().answers(patience));
}

TEST_CASE("a storage writer that does not come back from the disk is named, until it does") {
  fault_env env;
  std::atomic<bool> slow = false;
  obstacle slow_disk;
  hosted_node node{{.env = &env, .disk_free = [&] {
                      if (slow.exchange(false))
                        slow_disk.meet();
                      return std::uint64_t{1} << 40;
                    }}};
  node.start();
  slow = true; // the writer looks at its disk once a second
  slow_disk.await_somebody();
  const auto answered = node.running().answers(brief);
  slow_disk.remove();
  REQUIRE_FALSE(answered);
  CHECK(answered.error().code == ec::timed_out);
  CHECK(answered.error().detail == "the storage writer has not answered for 100ms");
  CHECK(node.running().answers(patience));
}

TEST_CASE("whoever has a role must answer, and one that is started again counts as answering") {
  fault_env env;
  hosted_node node{{.env = &env}};
  node.start();
  auto& registry = node.system().registry();
  for (const auto& [role, words] :
       {std::pair{role::coordinator, "the coordinator"},
        std::pair{role::partition_supervisor, "the partition supervisor"},
        std::pair{role::session_supervisor, "the session supervisor"},
        std::pair{role::alarm_desk, "the alarm desk"}}) {
    obstacle in_the_way;
    const auto real = registry.get(role);
    const auto stuck = node.system().spawn<caf::detached>(stuck_actor, &in_the_way);
    registry.erase(role); // it keeps what it has
    registry.put(role, caf::actor_cast<caf::strong_actor_ptr>(stuck));
    caf::anon_send(stuck, atom::tick_v);
    in_the_way.await_somebody();
    const auto answered = node.running().answers(brief);
    in_the_way.remove();
    REQUIRE_FALSE(answered);
    CHECK(answered.error().detail == std::string{words} + " has not answered for 100ms");
    CHECK(node.running().answers(patience));
    registry.erase(role);
    CHECK(node.running().answers(patience));
    registry.put(role, real);
    caf::anon_send_exit(stuck, caf::exit_reason::user_shutdown);
  }
}
