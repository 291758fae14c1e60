// The page of limits, walked: every limit is driven to its end on a node that has it small, and
// does there what the page says; what was confirmed is still delivered, and others notice nothing.
// One of them alone: limits_test "every limit ends*" -c net.sessions-max
#include "tests/node/limits_support.hpp"

#include <cstdio>

using namespace waybill;
using namespace waybill::test;

namespace {

limit_drivers all_drivers() {
  limit_drivers all;
  add_net_drivers(all);
  add_storage_drivers(all);
  add_flow_drivers(all);
  add_policy_drivers(all);
  add_delivery_drivers(all);
  add_partition_drivers(all);
  return all;
}

} // namespace

TEST_CASE("every limit on the page is driven to its end, and nothing else is") {
  auto drivers = all_drivers();
  for (const auto& each : limit_keys()) {
    INFO(each.key);
    CHECK(drivers.erase(each.key) == 1);
  }
  for (const auto& [key, drive] : drivers)
    FAIL_CHECK(key << " is driven, and is not on the page of limits");
}

TEST_CASE("every limit ends as the page says, with an alarm before it where the node fills") {
  for (const auto& [key, drive] : all_drivers())
    DYNAMIC_SECTION(key) {
      const auto began = std::chrono::steady_clock::now();
      alarms_met().clear();
      drive();
      CHECK(alarms_met().contains(key) == (find_limit(key)->alarm == limit_alarm::near));
      const auto took =
          std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began);
      std::printf("  %-36s %5lld ms\n", std::string{key}.c_str(),
                  static_cast<long long>(took.count()));
      std::fflush(stdout);
    }
}

TEST_CASE("an alarm of a limit goes with what it is about, and comes again with the node") {
  small_house house{{.flags = {flag("delivery.groups-max", 1)}, .others_may_wait = true}};
  const std::string key = "delivery.groups-max of orders#0";
  house.admin().create_topic("orders", 1);
  house.admin().set_group("orders", "billing", {});
  CHECK(comes_true(patience, [&] { return house.is_near(key); }));
  house.restart();
  CHECK(comes_true(patience, [&] { return house.is_near(key); }));
  house.admin().delete_topic("orders");
  house.expect_over(key);
  house.finish();
}
