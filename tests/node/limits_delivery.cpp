// Bounds of groups and their consumers, driven to their ends.
#include "tests/node/limits_support.hpp"

namespace waybill::test {

namespace {

const std::string checkpoints_often = "--partitions.checkpoint-interval=50ms";

/// Every second message is settled, until there are too many gaps.
void settled_ranges() {
  small_house house{{.flags = {flag("delivery.settled-ranges-max", 10), checkpoints_often}}};
  house.admin().create_topic("orders", 1);
  const auto ids = house.send("orders", 60);
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing", 30};
  from.await(30);
  std::uint64_t settled = 0;
  const auto ack_odd_to = [&](std::uint64_t end) {
    for (auto offset = settled * 2 + 1; offset < end; offset += 2, ++settled)
      CHECK(from.ack(offset) == ec::none);
  };
  ack_odd_to(18); // nine ranges
  house.expect_near("delivery.settled-ranges-max", " of orders#0, group billing");
  CHECK_FALSE(house.node().has_said("ALARM group-held-back"));
  from.await(39); // credit is free again, and nothing holds the group back
  ack_odd_to(30);
  house.expect_alarm("ALARM group-held-back (orders#0, group billing)");
  const auto out = from.got().size();
  CHECK(out < 60);
  CHECK(from.stays_at(out, 200ms)); // nothing further goes out; others in the topic do not matter
  CHECK(house.group("orders", "billing").partitions[0].settled_ranges > 10);
  for (std::uint64_t offset = 0; offset < 30; offset += 2) // gaps close, and it flows
    CHECK(from.ack(offset) == ec::none);
  from.await(60);
  for (std::uint64_t offset = 30; offset < 60; ++offset)
    CHECK(from.ack(offset) == ec::none);
  CHECK(house.group("orders", "billing").partitions[0].acked == 60);
  house.expect_alarm("group-held-back is over");
  house.expect_over("delivery.settled-ranges-max");
  house.finish();
}

void waiting_messages() {
  small_house house{{.flags = {flag("delivery.waiting-max", 5), checkpoints_often}}};
  house.admin().create_topic("orders", 1);
  const auto ids = house.send("orders", 30);
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing", 10};
  from.await(10);
  constexpr std::int64_t away_ms = 2'000;
  for (std::uint64_t offset = 0; offset < 5; ++offset)
    CHECK(from.nack(offset, away_ms) == ec::none);
  house.expect_near("delivery.waiting-max", " of orders#0, group billing");
  CHECK_FALSE(house.node().has_said("ALARM group-held-back"));
  CHECK(from.nack(5, away_ms) == ec::none);
  house.expect_alarm("ALARM group-held-back (orders#0, group billing)");
  for (std::uint64_t offset = 6; offset < 10; ++offset)
    CHECK(from.ack(offset) == ec::none);
  // Credit is free, and yet nothing new goes out before those that wait.
  std::set<std::uint64_t> acked{6, 7, 8, 9};
  const auto settle = [&](const delivered_message& m) {
    CHECK(from.ack(m.offset) == ec::none);
    acked.insert(m.offset);
  };
  std::vector<delivered_message> again;
  std::size_t seen = 10;
  for (; again.size() < 6; ++seen) {
    from.await(seen + 1);
    const auto next = from.got()[seen];
    if (next.attempt == 2) {
      again.push_back(next);
    } else {
      CHECK(next.offset <= 15); // it was under way before the sixth failed
      settle(next);
    }
  }
  for (const auto& each : again)
    settle(each);
  for (; acked.size() < ids.size(); ++seen) { // and then all the others
    from.await(seen + 1);
    settle(from.got()[seen]);
  }
  house.expect_alarm("group-held-back is over");
  house.expect_over("delivery.waiting-max");
  house.finish();
}

/// Messages that expire some day, until the partition holds too many of them.
void timed_messages() {
  small_house house{{.flags = {flag("delivery.timed-max", 5), checkpoints_often}}};
  house.admin().create_topic("orders", 1);
  house.admin().set_group("orders", "billing", {});
  producer_options once;
  once.retry.retries = 0;
  once.linger = 0ms;
  auto to = house.admin().producer("orders", once);
  std::vector<std::string> ids;
  const auto send = [&](std::optional<milliseconds> time_to_live) {
    outgoing_message m;
    m.body = std::to_string(ids.size()) + " "; // as the house sends them
    m.time_to_live = time_to_live;
    const auto sent = to.send(m);
    ids.push_back(message_id(sent.topic, sent.partition, sent.offset));
  };
  for (int i = 0; i < 5; ++i)
    send(1h);
  house.expect_near("delivery.timed-max", " of orders#0");
  const auto refusal = [&] {
    try {
      send(1h);
    } catch (const client_error& e) {
      CHECK(std::string{e.what()}.find("delivery.timed-max") != std::string::npos);
      return e.code();
    }
    return ec::none;
  };
  CHECK(refusal() == ec::overloaded);
  send(std::nullopt); // one without a time needs no such room
  house.expect_messages("orders", "billing", ids);
  CHECK(refusal() == ec::none);
  house.expect_messages("orders", "billing", {ids.back()});
  house.expect_over("delivery.timed-max");
  house.finish();
}

/// One key that is stuck, until too many messages wait behind it.
void behind_their_key() {
  small_house house{{.flags = {flag("delivery.behind-max", 5), checkpoints_often}}};
  house.admin().create_topic("orders", 1);
  policy_change in_order;
  in_order.ordered = true;
  house.admin().set_group("orders", "billing", in_order);
  auto to = house.admin().producer("orders", {.linger = 0ms, .batch_messages_max = 1});
  const auto send = [&](const std::string& key) { to.send({.key = key, .body = "parcel"}); };
  for (int i = 0; i < 6; ++i)
    send("stuck");
  send("free");
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing", 20};
  from.await(2); // the first of each key
  house.expect_near("delivery.behind-max", " of orders#0, group billing");
  CHECK_FALSE(house.node().has_said("ALARM group-held-back"));
  send("stuck");
  send("late");
  house.expect_alarm("ALARM group-held-back (orders#0, group billing)");
  CHECK(from.stays_at(2, 200ms)); // the group goes no further
  CHECK(house.group("orders", "billing").partitions[0].behind == 6);
  for (std::size_t next = 0; next < 9; ++next) {
    from.await(next + 1);
    CHECK(from.ack(from.got()[next].offset) == ec::none);
  }
  std::vector<std::uint64_t> stuck;
  for (const auto& each : from.got()) {
    if (each.offset != 6 && each.offset != 8)
      stuck.push_back(each.offset);
  }
  CHECK(std::ranges::is_sorted(stuck));
  house.expect_alarm("group-held-back is over");
  house.expect_over("delivery.behind-max");
  house.finish();
}

/// Who had a key is forgotten, and its next message may go to another consumer.
void idle_keys() {
  small_house house{{.flags = {flag("delivery.keys-max", 2)}}};
  house.admin().create_topic("orders", 1);
  policy_change in_order;
  in_order.ordered = true;
  house.admin().set_group("orders", "billing", in_order);
  auto to = house.admin().producer("orders", {.linger = 0ms, .batch_messages_max = 1});
  rpc_peer peer{house.port()};
  peer_consumer first{peer, "orders", "billing", 20};
  std::uint64_t sent = 0;
  const auto pass = [&](const std::string& key) { // to the first, while it is alone
    to.send({.key = key, .body = "parcel"});
    first.await(++sent);
    CHECK(first.ack(first.got().back().offset) == ec::none);
  };
  for (const auto* key : {"red", "green", "blue"})
    pass(key);
  peer_consumer second{peer, "orders", "billing", 20};
  for (const auto* key : {"green", "blue"}) // remembered
    pass(key);
  to.send({.key = "red", .body = "parcel"}); // forgotten: the second has fewer keys
  second.await(1);
  CHECK(first.stays_at(sent, 50ms));
  CHECK(second.ack(second.got().back().offset) == ec::none);
  house.finish();
}

void groups() {
  small_house house{{.flags = {flag("delivery.groups-max", 3)}}};
  house.admin().create_topic("orders", 1);
  const auto ids = house.send("orders", 5);
  for (const auto* name : {"first", "second", "third"})
    house.admin().set_group("orders", name, {});
  house.expect_near("delivery.groups-max", " of orders#0");
  const auto code = [&] {
    try {
      house.admin().set_group("orders", "fourth", {});
    } catch (const client_error& e) {
      CHECK(std::string{e.what()}.find("delivery.groups-max") != std::string::npos);
      return e.code();
    }
    return ec::none;
  };
  CHECK(code() == ec::limit_reached);
  rpc_peer peer{house.port()};
  CHECK(peer_consumer{peer, "orders", "fourth"}.refused() == ec::limit_reached);
  house.admin().delete_group("orders", "third");
  house.expect_over("delivery.groups-max");
  CHECK(code() == ec::none);
  for (const auto* name : {"first", "second", "fourth"})
    house.expect_messages("orders", name, ids);
  house.finish();
}

void consumers() {
  small_house house{{.flags = {flag("delivery.consumers-max", 2)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_consumer first{peer, "orders", "billing"};
  peer_consumer second{peer, "orders", "billing"};
  house.expect_near("delivery.consumers-max", " of orders#0, group billing");
  CHECK(peer_consumer{peer, "orders", "billing"}.refused() == ec::limit_reached);
  CHECK(peer_consumer{peer, "orders", "another"}.refused() == ec::none); // it is a group's
  const auto ids = house.send("orders", 4);
  peer.until(patience, [&] { return first.got().size() + second.got().size() == 4; });
  for (auto* each : {&first, &second}) {
    CHECK(each->got().size() == 2);
    for (const auto& m : each->got())
      CHECK(each->ack(m.offset) == ec::none);
  }
  second.close();
  house.expect_over("delivery.consumers-max of orders#0, group billing");
  CHECK(peer_consumer{peer, "orders", "billing"}.refused() == ec::none);
  house.finish();
}

void reason_bytes() {
  small_house house{{.flags = {flag("delivery.reason-bytes-max", 16)}}};
  house.admin().create_topic("orders", 1);
  policy_change once;
  once.attempts_max = 1;
  house.admin().set_group("orders", "billing", once);
  house.send("orders", 1);
  rpc_peer peer{house.port()};
  peer_consumer from{peer, "orders", "billing"};
  from.await(1);
  CHECK(from.nack(0, -1, "a reason of more than sixteen bytes") == ec::none);
  std::string kept;
  house.admin().list_dead_letters("orders", "billing", 0, {}, false, [&](const auto& letter) {
    kept = letter.reason;
    return true;
  });
  CHECK(kept.size() <= 16);
  CHECK(kept.starts_with("a reason of"));
  CHECK(kept.ends_with("…"));
  house.finish();
}

void credit(std::string_view key, std::uint64_t most, bool in_messages) {
  small_house house{{.flags = {flag(key, most), flag("net.message-bytes-max", 2'048)}}};
  house.admin().create_topic("orders", 1);
  const auto ids = house.send("orders", 20, 1'000);
  rpc_peer peer{house.port()};
  const auto messages = static_cast<std::uint32_t>(in_messages ? most : 1'000);
  const auto bytes = in_messages ? 100'000 : most;
  const std::uint32_t further = in_messages ? 1 : 0;
  peer_consumer greedy{peer, "orders", "billing", messages + further, bytes + 1 - further};
  CHECK(greedy.refused() == ec::limit_reached);
  peer_consumer from{peer, "orders", "billing", messages, bytes};
  CHECK(from.refused() == ec::none);
  const auto refusal = from.set_credit(messages + further, bytes + 1 - further);
  CHECK(refusal.find(key) != std::string::npos);
  from.await(in_messages ? most : 4);
  CHECK(from.stays_at(from.got().size(), 100ms)); // no more than was granted is out
  CHECK(from.got().size() <= (in_messages ? most : most / 1'000));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    from.await(i + 1);
    CHECK(from.ack(from.got()[i].offset) == ec::none);
  }
  house.finish();
}

} // namespace

void add_delivery_drivers(limit_drivers& to) {
  to["delivery.settled-ranges-max"] = settled_ranges;
  to["delivery.waiting-max"] = waiting_messages;
  to["delivery.timed-max"] = timed_messages;
  to["delivery.behind-max"] = behind_their_key;
  to["delivery.keys-max"] = idle_keys;
  to["delivery.groups-max"] = groups;
  to["delivery.consumers-max"] = consumers;
  to["delivery.reason-bytes-max"] = reason_bytes;
  to["delivery.credit-messages-max"] = [] { credit("delivery.credit-messages-max", 6, true); };
  to["delivery.credit-bytes-max"] = [] { credit("delivery.credit-bytes-max", 4'500, false); };
}

} // namespace waybill::test
