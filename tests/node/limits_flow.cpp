// What goes to the disk and how fast, driven to its ends: bytes that wait, requests that wait, free
// space, time, checkpoints.
#include "tests/node/limits_support.hpp"

namespace waybill::test {

namespace {

constexpr std::uint64_t kib = 1u << 10;
constexpr std::uint64_t mib = 1u << 20;

/// What waits while the disk is held goes out in how many synced writes?
void group_commit() {
  const auto syncs = [](const std::vector<std::string>& flags) {
    small_house house{{.flags = flags, .others_may_wait = true}};
    house.admin().create_topic("orders", 1);
    rpc_peer peer{house.port()};
    peer_producer to{peer, "orders", "many"};
    house.hold_disk();
    std::vector<kj::Promise<publish_answer>> answers;
    for (int i = 0; i < 200; ++i)
      answers.push_back(to.begin(raw_batch(1, 1'000)));
    // A later call is answered without the disk, and says that the others are with the leader.
    CHECK(to.publish_numbered(1'000, 999, raw_batch(1, 8)).code == ec::out_of_order);
    const auto before = house.statistics().syncs;
    house.let_disk_go();
    for (auto& each : answers)
      CHECK(each.wait(peer.scope()).code == ec::none);
    const auto count = house.statistics().syncs - before;
    CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 200);
    house.finish();
    return count;
  };
  CHECK(syncs({flag("storage.group-commit-bytes", 4 * kib)}) >= 50);
  CHECK(syncs({}) < 50);
}

void pending_bytes() {
  small_house house{
      {.flags = {flag("net.message-bytes-max", 8 * kib), flag("net.batch-bytes-max", 16 * kib),
                 flag("storage.pending-bytes-max", 64 * kib)},
       .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "heavy"};
  const auto batch = raw_batch(1, 8'000);
  house.hold_disk();
  std::vector<kj::Promise<publish_answer>> answers;
  for (int i = 0; i < 7; ++i)
    answers.push_back(to.begin(batch));
  peer.send_out();
  house.expect_near("storage.pending-bytes-max");
  // Its size is not exactly that of its batch: one, or two, or three more find room.
  publish_answer refused;
  while (refused.code == ec::none && answers.size() < 10) {
    answers.push_back(to.begin(batch));
    bool answered = false;
    auto look = answers.back()
                    .then([&](publish_answer&& a) {
                      answered = true;
                      refused = a;
                      return a;
                    })
                    .eagerlyEvaluate(nullptr);
    peer.until(300ms, [&] { return answered; });
    answers.back() = kj::mv(look);
  }
  CHECK(refused.code == ec::overloaded);
  CHECK(refused.detail.find("storage.pending-bytes-max") != std::string::npos);
  house.let_disk_go();
  for (std::size_t i = 0; i < answers.size(); ++i)
    CHECK((answers[i].wait(peer.scope()).code == ec::none) == (i + 1 < answers.size()));
  const auto again = answers.size(); // the one that was refused
  CHECK(to.publish_numbered(again, again - 1, batch).code == ec::none);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == again);
  house.expect_over("storage.pending-bytes-max");
  house.finish();
}

void waiting_requests() {
  small_house house{{.flags = {flag("partitions.waiting-max", 5)}, .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "hasty"};
  house.hold_disk();
  std::vector<kj::Promise<publish_answer>> answers;
  for (int i = 0; i < 5; ++i)
    answers.push_back(to.begin(raw_batch(1, 8)));
  peer.send_out();
  house.expect_near("partitions.waiting-max", " of orders#0");
  const auto refused = to.publish_numbered(6, 5, raw_batch(1, 8));
  CHECK(refused.code == ec::overloaded);
  CHECK(refused.detail.find("partitions.waiting-max") != std::string::npos);
  house.let_disk_go();
  for (auto& each : answers)
    CHECK(each.wait(peer.scope()).code == ec::none);
  CHECK(to.publish(raw_batch(1, 8)).code == ec::none);
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 6);
  house.finish();
}

void disk_free() {
  const auto free = std::make_shared<std::atomic<std::uint64_t>>(1'000 * mib);
  small_house house{{.flags = {flag("storage.disk-free-min", 100 * mib)},
                     .disk_free = [free] { return free->load(); },
                     .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "patient"};
  peer_consumer from{peer, "orders", "billing"};
  CHECK(to.publish(raw_batch(1, 8)).code == ec::none);
  *free = 120 * mib;
  house.expect_near("storage.disk-free-min");
  CHECK_FALSE(house.node().has_said("ALARM disk-full"));
  CHECK(to.publish(raw_batch(1, 8)).code == ec::none);
  *free = 90 * mib;
  house.expect_alarm("ALARM disk-full");
  const auto refused = to.publish_numbered(3, 2, raw_batch(1, 8));
  CHECK(refused.code == ec::disk_full);
  CHECK(refused.detail.find("storage.disk-free-min") != std::string::npos);
  CHECK(to.publish_numbered(2, 1, raw_batch(1, 8)).repeated); // a repeat needs no room
  from.await(2);
  for (const auto& each : from.got())
    CHECK(from.ack(each.offset) == ec::none);
  *free = 1'000 * mib;
  house.expect_alarm("disk-full is over");
  house.expect_over("storage.disk-free-min");
  CHECK(to.publish(raw_batch(1, 8)).code == ec::none);
  from.await(3);
  house.finish();
}

void request_timeout() {
  small_house house{{.flags = {"--storage.request-timeout=1s"}, .others_may_wait = true}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  kj::Maybe<wire::Producer::Client> opened;
  house.hold_disk();
  CHECK(peer.open("orders", "patient", opened) == ec::timed_out);
  house.let_disk_go();
  peer_producer to{peer, "orders", "patient"}; // whether or not the first one took effect
  CHECK(to.publish(raw_batch(1, 8)).code == ec::none);
  house.finish();
}

/// What every group has settled is dropped on a checkpoint's word alone: generations that go tell
/// that there was one.
std::uint64_t destroyed(const std::vector<std::string>& flags, bool are_some) {
  auto all = flags;
  all.push_back(flag("storage.generation-entries", 16));
  small_house house{{.flags = std::move(all)}};
  house.admin().create_topic("orders", 1);
  house.admin().set_group("orders", "billing", {});
  const auto ids = house.send_at_once("orders", 64, 4 * kib);
  house.expect_messages("orders", "billing", ids);
  const auto gone = [&] { return house.statistics().generations_destroyed; };
  // Tidying looks once a second.
  const bool came = comes_true(are_some ? patience : 2'500ms, [&] { return gone() >= 4; });
  CHECK(came == are_some);
  house.finish();
  return gone();
}

void checkpoint_bytes() {
  destroyed({"--partitions.checkpoint-interval=1h", flag("partitions.checkpoint-bytes", 64 * kib)},
            true);
  CHECK(destroyed({"--partitions.checkpoint-interval=1h",
                   flag("partitions.checkpoint-bytes", 16'000 * mib)},
                  false) == 0);
}

void checkpoint_interval() {
  destroyed(
      {"--partitions.checkpoint-interval=50ms", flag("partitions.checkpoint-bytes", 16'000 * mib)},
      true);
}

/// What is too old goes at the next look but one, and not before.
void retention_interval() {
  const auto is_dropped = [](const std::string& interval, milliseconds wait) {
    small_house house{{.flags = {"--partitions.retention-interval=" + interval}}};
    house.admin().create_topic("orders", 1, {.age = milliseconds{1}});
    house.admin().set_group("orders", "billing", {});
    house.send_at_once("orders", 8, 4 * kib);
    const bool went = comes_true(
        wait, [&] { return house.admin().audit("orders", 0).groups.at(0).dropped_unread == 8; });
    house.finish();
    return went;
  };
  CHECK(is_dropped("20ms", patience));
  CHECK_FALSE(is_dropped("1h", 500ms));
}

} // namespace

void add_flow_drivers(limit_drivers& to) {
  to["storage.group-commit-bytes"] = group_commit;
  to["storage.pending-bytes-max"] = pending_bytes;
  to["storage.disk-free-min"] = disk_free;
  to["storage.request-timeout"] = request_timeout;
  to["partitions.waiting-max"] = waiting_requests;
  to["partitions.checkpoint-bytes"] = checkpoint_bytes;
  to["partitions.checkpoint-interval"] = checkpoint_interval;
  to["partitions.retention-interval"] = retention_interval;
}

} // namespace waybill::test
