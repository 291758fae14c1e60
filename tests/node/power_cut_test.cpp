// Producers and consumers at work while the power fails again and again, also while the node
// starts. WAYBILL_POWER_CUTS says how often (5 in the short form), WAYBILL_SEED repeats a run.
#include "tests/node/hosted_node.hpp"
#include "tests/node/traffic.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <random>

using namespace waybill;
using namespace waybill::test;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds failing_takes{20'000};
constexpr milliseconds progress_takes{40'000};
constexpr std::uint64_t progress = 60; ///< messages confirmed between two cuts

class power_cuts {
public:
  power_cuts(fault_env& env, hosted_node& node, std::uint64_t seed)
      : env_{env}, node_{node}, random_{seed} {}

  /// At one of the next operations on the disk: often very soon, sometimes late.
  void cut_while_it_runs() {
    env_.cut_power_after(draw(1ull << draw(10)), {.seed = random_(), .mode = some_tail()});
    const auto failed = node_.await_failure(failing_takes);
    REQUIRE(failed);
    CHECK(failed->code == ec::storage_failed);
    CHECK_FALSE(failed->detail.empty());
    end_and_reboot();
  }

  /// Starts it, with the power failing on the way, or right afterwards; returns when it runs.
  void start_with_trouble() {
    for (auto more = draw(2); more > 0; --more) {
      env_.cut_power_after(draw(40), {.seed = random_(), .mode = some_tail()});
      const auto started = node_.try_start();
      env_.cancel_cut();
      if (started && !env_.is_off())
        return;
      if (!started) {
        INFO(started.error().detail);
        CHECK(started.error().code == ec::storage_failed);
      }
      ++while_starting;
      end_and_reboot();
    }
    node_.start();
  }

  std::uint64_t while_starting = 0;
  milliseconds longest_end{0};

private:
  void end_and_reboot() {
    const auto began = steady_clock::now();
    node_.cut_power(random_());
    longest_end = std::max(longest_end,
                           std::chrono::duration_cast<milliseconds>(steady_clock::now() - began));
  }
  /// What a careful disk leaves. (After zeros and garbage the store does not open, and says so:
  /// docs/guarantees.md.)
  tail some_tail() { return static_cast<tail>(draw(2)); }
  std::uint64_t draw(std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>{0, most}(random_);
  }

  fault_env& env_;
  hosted_node& node_;
  std::mt19937_64 random_;
};

} // namespace

TEST_CASE("what was confirmed outlives power cuts at any moment") {
  const auto cuts = from_environment("WAYBILL_POWER_CUTS", 5);
  const auto seed = drawn_seed();
  fault_env env;
  hosted_node node{
      {.env = &env,
       .flags = {"--partitions.checkpoint-interval=300ms", "--storage.generation-entries=1000"}}};
  node.start();
  power_cuts power{env, node, seed};
  traffic clients{{.server = node.server(), .producers = 4}};
  clients.start();
  for (std::uint64_t cut = 0; cut < cuts; ++cut) {
    const auto before = clients.confirmed();
    REQUIRE(comes_true(progress_takes, [&] { return clients.confirmed() >= before + progress; }));
    power.cut_while_it_runs();
    power.start_with_trouble();
  }
  clients.stop_producers();
  CHECK(clients.await_settled(progress_takes));
  clients.stop_consumers();
  for (const auto& each : clients.violations())
    FAIL_CHECK(each);
  const auto wrong_in_books = clients.violations_of_books();
  for (const auto& each : wrong_in_books)
    FAIL_CHECK(each);
  std::printf(
      "%llu power cuts, %llu of them while starting; %llu messages confirmed, %llu consumed, "
      "%llu more than once; confirmed and not consumed: %llu; published twice: %llu; "
      "the books %s; a node without power ends within %lld ms\n",
      static_cast<unsigned long long>(env.counters().power_cuts),
      static_cast<unsigned long long>(power.while_starting),
      static_cast<unsigned long long>(clients.confirmed()),
      static_cast<unsigned long long>(clients.consumed()),
      static_cast<unsigned long long>(clients.delivered_again()),
      static_cast<unsigned long long>(clients.missing()),
      static_cast<unsigned long long>(clients.published_twice()),
      wrong_in_books.empty() ? "balance" : "DO NOT BALANCE",
      static_cast<long long>(power.longest_end.count()));
  CHECK(power.longest_end < milliseconds{10'000});
}
