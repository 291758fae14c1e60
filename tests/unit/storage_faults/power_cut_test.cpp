// Power cuts over the store: what was acknowledged is there afterwards, in order and whole; what
// was not is there in whole, or is not.
#include "tests/unit/storage_faults/history.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>

namespace waybill::test {
namespace {

/// The seeds of a run: WAYBILL_SEED alone, or those given.
std::pair<std::uint64_t, std::uint64_t> seeds(std::uint64_t first, std::uint64_t count) {
  if (const char* chosen = std::getenv("WAYBILL_SEED"))
    return {std::strtoull(chosen, nullptr, 10), std::strtoull(chosen, nullptr, 10) + 1};
  return {first, first + count};
}

} // namespace

TEST_CASE("a power cut takes nothing that was acknowledged, and leaves nothing half",
          "[storage_faults]") {
  const auto [first, end] = seeds(0, histories(300));
  for (auto seed = first; seed < end; ++seed) {
    const auto mode = static_cast<tail>(seed % 3); // lost, whole, torn: what a careful disk leaves
    std::mt19937_64 random{seed};
    fault_env env;
    store_history history{env, seed};
    for (int cut = 0; cut < 6; ++cut) {
      CAPTURE(seed, cut);
      if (random() % 4 > 0)
        env.cut_power_after(random() % 250, {.seed = random(), .mode = mode});
      if (history.open()) {
        for (auto steps = random() % 120; steps > 0 && history.step();)
          --steps;
      }
      env.cancel_cut();
      const bool was_cut = env.is_off();
      const auto why = history.refusal() ? history.refusal() : history.last_error();
      if (!was_cut && why)
        FAIL(why->detail);
      history.close();
      if (was_cut)
        env.reboot();
      const bool opened = history.open();
      INFO((opened ? "" : history.refusal()->detail));
      REQUIRE(opened);
      const auto wrong = history.check();
      CAPTURE(was_cut, history.said());
      REQUIRE(wrong.value_or("") == "");
      history.close();
    }
  }
}

} // namespace waybill::test
