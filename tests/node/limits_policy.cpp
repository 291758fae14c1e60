// The policy of a new group: leases, attempts and delays. How long something takes is compared with
// what it must last at the least; the most is generous.
#include "tests/node/limits_support.hpp"

#include <algorithm>

namespace waybill::test {

namespace {

using std::chrono::steady_clock;

/// A node whose new groups have this policy, one message, and the consumer that has it.
struct policy_scene {
  explicit policy_scene(std::vector<std::string> flags)
      : house{{.flags = std::move(flags)}}, peer{with_message(house).port()}, from{peer, "orders",
                                                                                   "billing"} {
    from.await(1);
  }
  static small_house& with_message(small_house& house) {
    house.admin().create_topic("orders", 1);
    house.send("orders", 1);
    return house;
  }
  /// Says no `count` times. @returns how long each was away
  std::vector<milliseconds> gaps(std::size_t count) {
    std::vector<milliseconds> result;
    for (std::size_t i = 0; i < count; ++i) {
      const auto began = steady_clock::now();
      const auto before = from.got().size(); // with the answer it may be there again
      CHECK(from.nack(0) == ec::none);
      from.await(before + 1);
      CHECK(from.got().back().attempt == from.got().size());
      result.push_back(std::chrono::duration_cast<milliseconds>(from.got().back().at - began));
    }
    return result;
  }
  [[nodiscard]] policy_change policy() { return house.group("orders", "billing").policy; }
  void finish() {
    CHECK(from.ack(0) == ec::none);
    CHECK(house.group("orders", "billing").partitions[0].acked == 1);
    house.finish();
  }
  small_house house;
  rpc_peer peer;
  peer_consumer from;
};

const std::string no_jitter = "--delivery.jitter=0.0";

void lease() {
  policy_scene scene{{"--delivery.lease=300ms", "--delivery.delay=0ms"}};
  CHECK(scene.policy().lease == 300ms);
  scene.from.await(2); // nobody said a word: the lease ran out
  CHECK(scene.from.got()[1].attempt == 2);
  CHECK(scene.from.got()[1].at - scene.from.got()[0].at >= 200ms);
  // Where the machine is slow, this one may run out as well.
  for (std::size_t more = 3; scene.from.ack(0) != ec::none; ++more)
    scene.from.await(more);
  scene.house.finish();
}

void attempts() {
  policy_scene scene{{flag("delivery.attempts-max", 3), "--delivery.delay=0ms", no_jitter}};
  scene.gaps(2);
  CHECK(scene.from.nack(0, -1, "the last word") == ec::none);
  std::vector<dead_letter_info> dead;
  scene.house.admin().list_dead_letters("orders", "billing", 0, {}, true, [&](const auto& letter) {
    dead.push_back(letter);
    return true;
  });
  REQUIRE(dead.size() == 1);
  CHECK(dead[0].attempts == 3);
  CHECK(dead[0].reason == "the last word");
  CHECK(dead[0].body.starts_with("0 "));
  // It goes back, and is a message as before.
  const std::vector<message_offset> all{dead[0].offset};
  CHECK(scene.house.admin().redrive_dead_letters("orders", "billing", 0, all).moved.size() == 1);
  scene.from.await(4);
  CHECK(scene.from.got().back().attempt == 1);
  CHECK(scene.from.ack(scene.from.got().back().offset) == ec::none);
  scene.house.finish();
}

void delay() {
  policy_scene scene{{"--delivery.delay=300ms", no_jitter}};
  const auto gaps = scene.gaps(1);
  CHECK(gaps[0] >= 290ms);
  CHECK(gaps[0] < 10s);
  scene.finish();
}

void factor() {
  policy_scene scene{{"--delivery.delay=50ms", "--delivery.factor=8.0", no_jitter}};
  const auto gaps = scene.gaps(2);
  CHECK(gaps[0] >= 45ms);
  CHECK(gaps[1] >= 390ms);
  CHECK(scene.policy().factor == 8.0);
  scene.finish();
}

void delay_max() {
  policy_scene scene{{"--delivery.delay=50ms", "--delivery.factor=100.0",
                      "--delivery.delay-max=200ms", no_jitter}};
  const auto gaps = scene.gaps(4); // 50 ms, 5 s, 500 s and 14 hours, were it not for the bound
  for (std::size_t i = 1; i < gaps.size(); ++i) {
    CHECK(gaps[i] >= 190ms);
    CHECK(gaps[i] < 4s);
  }
  scene.finish();
}

/// Twenty delays of 400 ms, each half longer or shorter at the most.
void jitter() {
  small_house house{{.flags = {"--delivery.delay=400ms", "--delivery.jitter=0.5"}}};
  house.admin().create_topic("orders", 1);
  const auto ids = house.send("orders", 20);
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing"};
  from.await(ids.size());
  std::map<std::uint64_t, steady_clock::time_point> began;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    began[i] = steady_clock::now();
    CHECK(from.nack(i) == ec::none);
  }
  from.await(2 * ids.size());
  std::vector<milliseconds> gaps;
  for (auto each = from.got().begin() + 20; each != from.got().end(); ++each) {
    gaps.push_back(std::chrono::duration_cast<milliseconds>(each->at - began.at(each->offset)));
    CHECK(from.ack(each->offset) == ec::none);
  }
  CHECK(std::ranges::min(gaps) >= 190ms);
  CHECK(std::ranges::max(gaps) < 10s);
  CHECK(std::ranges::max(gaps) - std::ranges::min(gaps) > 20ms);
  CHECK(house.group("orders", "billing").policy.jitter == 0.5);
  house.finish();
}

void lease_max() {
  policy_scene scene{{"--delivery.lease=10s", "--delivery.lease-max=20s"}};
  const auto refused = [&](milliseconds lease) {
    policy_change change;
    change.lease = lease;
    try {
      scene.house.admin().set_group("orders", "billing", change);
    } catch (const client_error& e) {
      CHECK(std::string{e.what()}.find("delivery.lease-max") != std::string::npos);
      return e.code();
    }
    return ec::none;
  };
  CHECK(refused(21s) == ec::bad_argument);
  CHECK(refused(20s) == ec::none);
  CHECK(scene.from.extend(0, 21'000) == ec::bad_argument);
  CHECK(scene.from.nack(0, 21'000) == ec::bad_argument);
  CHECK(scene.from.extend(0, 20'000) == ec::none);
  scene.finish();
}

void stuck_after() {
  small_house house{
      {.flags = {"--delivery.stuck-after=200ms", "--partitions.checkpoint-interval=50ms"}}};
  house.admin().create_topic("orders", 1);
  house.admin().set_group("orders", "billing", {});
  const auto ids = house.send("orders", 3);
  house.expect_alarm("ALARM group-stuck (orders#0, group billing): nothing of orders#0, group "
                     "billing was settled");
  house.expect_messages("orders", "billing", ids);
  house.expect_alarm("group-stuck is over");
  house.finish();
}

void dead_letters_alarm() {
  small_house house{
      {.flags = {flag("delivery.dead-letters-alarm", 2), flag("delivery.attempts-max", 1)}}};
  house.admin().create_topic("orders", 1);
  house.send("orders", 3);
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing"};
  from.await(3);
  CHECK(from.nack(0) == ec::none);
  CHECK_FALSE(house.node().has_said("dead-letters-growing"));
  CHECK(from.nack(1) == ec::none);
  house.expect_alarm("ALARM dead-letters-growing (orders#0, group billing)");
  house.admin().list_dead_letters("orders", "billing", 0, {}, false,
                                  [](const auto&) { return true; });
  house.expect_alarm("dead-letters-growing is over: somebody has looked");
  CHECK(from.ack(2) == ec::none);
  house.finish();
}

} // namespace

void add_policy_drivers(limit_drivers& to) {
  to["delivery.lease"] = lease;
  to["delivery.attempts-max"] = attempts;
  to["delivery.delay"] = delay;
  to["delivery.factor"] = factor;
  to["delivery.delay-max"] = delay_max;
  to["delivery.jitter"] = jitter;
  to["delivery.lease-max"] = lease_max;
  to["delivery.stuck-after"] = stuck_after;
  to["delivery.dead-letters-alarm"] = dead_letters_alarm;
}

} // namespace waybill::test
