// The scheduling policy: everybody has a turn, nothing is forgotten, and a system ends whatever is
// still under way.
#include "config/hand_over.hpp"
#include "config/node_config.hpp"

#include <caf/all.hpp>
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace waybill {
namespace {

struct scheduled : node_config {
  explicit scheduled(const std::string& threads) {
    REQUIRE(read(std::vector<std::string>{"--scheduler.max-threads=" + threads,
                                          "--scheduler.policy=handover"}));
  }
};

/// Within a time that is ample for a turn.
bool comes_true(const std::atomic<bool>& what) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (!what && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  return what;
}

/// Sends itself back and forth with another for as long as it may.
struct relay_state {
  caf::actor other;
};
caf::behavior relay(caf::stateful_actor<relay_state>* self, const std::atomic<bool>* over) {
  return {
      [self](const caf::actor& other) { self->state.other = other; },
      [self, over](std::uint64_t round) {
        if (!*over)
          self->send(self->state.other, round + 1);
      },
  };
}

TEST_CASE("two actors that hand over to each other do not keep a third from its turn",
          "[scheduling]") {
  const auto* threads = GENERATE("1", "2");
  std::atomic<bool> over = false;
  std::atomic<bool> had_turn = false;
  bool in_time = false; // and not only when the two have ended
  {
    scheduled config{threads};
    caf::actor_system system{config};
    std::vector<caf::actor> relays;
    for (int pair = 0; pair < 2; ++pair) { // as many as could keep both threads busy
      const auto one = system.spawn(relay, &over);
      const auto other = system.spawn(relay, &over);
      caf::anon_send(one, other);
      caf::anon_send(other, one);
      caf::anon_send(one, std::uint64_t{0});
      relays.insert(relays.end(), {one, other});
    }
    const auto third = system.spawn(
        [&had_turn]() -> caf::behavior { return {[&had_turn](bool) { had_turn = true; }}; });
    caf::anon_send(third, true);
    in_time = comes_true(had_turn);
    over = true;
    for (const auto& each : relays)
      caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
  }
  CHECK(in_time);
}

TEST_CASE("an actor that always has mail does not keep whom it gave work from its turn",
          "[scheduling]") {
  std::atomic<bool> over = false;
  std::atomic<bool> had_turn = false;
  bool in_time = false;
  {
    scheduled config{"2"};
    caf::actor_system system{config};
    const auto given = system.spawn(
        [&had_turn]() -> caf::behavior { return {[&had_turn](bool) { had_turn = true; }}; });
    // Gives work once, and then has mail for as long as it may: each message is followed by another
    // that is in its mailbox before it has ended.
    const auto busy = system.spawn([&over, given](caf::event_based_actor* self) -> caf::behavior {
      return {[self, &over, given](std::uint64_t round) {
        if (round == 0)
          self->send(given, true);
        if (!over)
          self->send(self, round + 1);
      }};
    });
    caf::anon_send(busy, std::uint64_t{0});
    in_time = comes_true(had_turn);
    over = true;
  }
  CHECK(in_time);
}

/// Splits until nothing is left to split; each leaf counts.
caf::behavior splitter(caf::event_based_actor* self, std::atomic<int>* leaves) {
  return {
      [self, leaves](int depth) {
        if (depth == 0)
          ++*leaves;
        else
          for (int half = 0; half < 2; ++half)
            self->send(self->spawn(splitter, leaves), depth - 1);
        self->quit();
      },
  };
}

TEST_CASE("whoever is given work is run, by one thread as by three", "[scheduling]") {
  const auto* threads = GENERATE("1", "3");
  std::atomic<int> leaves = 0;
  {
    scheduled config{threads};
    caf::actor_system system{config};
    for (int i = 0; i < 20; ++i)
      caf::anon_send(system.spawn(splitter, &leaves), 10);
  } // waits for all of them
  CHECK(leaves == 20 * 1'024);
}

TEST_CASE("the policy that is configured is the one in use", "[scheduling]") {
  const auto is_ours = [](const char* flag) {
    node_config config;
    REQUIRE(config.read(std::vector<std::string>{flag}));
    caf::actor_system system{config};
    return dynamic_cast<caf::scheduler::coordinator<hand_over>*>(&system.scheduler()) != nullptr;
  };
  CHECK(is_ours("--scheduler.policy=handover"));
  CHECK_FALSE(is_ours("--scheduler.policy=sharing"));
  CHECK_FALSE(is_ours("--scheduler.policy=stealing"));
}

} // namespace
} // namespace waybill
