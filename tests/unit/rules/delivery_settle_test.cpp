// Deliveries and what consumers say about them: credit, turns, acks, returns, leases.
#include "delivery_bench.hpp"

namespace waybill::bench {

TEST_CASE("a message goes to one consumer of a group, and to every group", "[delivery]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish(10);
  d.join(ann);
  d.join(bob);
  d.join(cid, "h");
  const auto orders = d.turn();
  CHECK(orders.size() == 20);
  CHECK(offsets_of(orders, ann) == ranges{range(0, 5)});
  CHECK(offsets_of(orders, bob) == ranges{range(5, 10)});
  CHECK(offsets_of(orders, cid) == ranges{range(0, 10)});
  CHECK(d.deliver().empty());
  CHECK(d.view().leased == 10);
  CHECK(balances(d.view()));
}

TEST_CASE("consumers get single messages by turns", "[delivery]") {
  depot d;
  d.create("g");
  d.join(ann);
  d.join(bob);
  std::vector<consumer_id> got;
  for (int i = 0; i < 4; ++i) {
    d.publish(1);
    got.push_back(d.turn().at(0).consumer);
  }
  CHECK(got == std::vector{ann, bob, ann, bob});
}

TEST_CASE("nothing is sent beyond a consumer's credit in messages or bytes", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(100);
  d.join(ann, "g", 3);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 3)});
  CHECK(d.ack(ann, {range(1, 2)}).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(3, 4)});
  d.rules.set_credit(ann, 1'000, 650);
  CHECK(offsets_of(d.turn()) == ranges{range(4, 7)}); // six of 100 bytes
  d.rules.set_credit(ann, 1'000, 100);
  d.ack(ann, {range(0, 5)});
  CHECK(d.turn().empty()); // two are more than it may hold
  d.ack(ann, {range(5, 7)});
  d.message_bytes = 5'000;
  CHECK(offsets_of(d.turn()) == ranges{range(7, 8)}); // whatever its size, when none is held
  CHECK(d.turn().empty());
  d.rules.set_credit(ann, 0, 0);
  d.ack(ann, {range(7, 8)});
  CHECK(d.turn().empty());
}

TEST_CASE("a group waits for a size that is not known, and others go on", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(3);
  d.create("h", plain_policy(), 1);
  d.join(ann);
  d.join(bob, "h");
  d.commit();
  const auto not_the_first = [](message_offset o, delivery::wants_key) {
    return o.value == 0 ? std::nullopt : std::optional{delivery::message_facts{1, 0}};
  };
  const auto orders = d.rules.deliver(d.now, not_the_first, 100);
  CHECK(offsets_of(orders, ann).empty());
  CHECK(offsets_of(orders, bob) == ranges{range(1, 3)});
  CHECK(d.rules.wanted() == std::vector{at(0)});
  CHECK(d.rules.wanted().empty());
  CHECK(offsets_of(d.deliver()) == ranges{range(0, 3)});
}

TEST_CASE("a round sends what it may at most, and no group is passed over", "[delivery]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish(10);
  d.join(ann);
  d.join(bob, "h");
  d.commit();
  CHECK(offsets_of(d.deliver(4), ann) == ranges{range(0, 4)});
  CHECK(offsets_of(d.deliver(4), bob) == ranges{range(0, 4)});
  CHECK(offsets_of(d.deliver(4), ann) == ranges{range(4, 8)});
}

TEST_CASE("an ack settles what its consumer holds once it is committed", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(10);
  d.join(ann, "g", 6);
  d.join(bob, "g", 4);
  d.commit();
  const auto orders = d.deliver();
  REQUIRE(offsets_of(orders, ann) == ranges{range(0, 5), range(9, 10)});
  const auto answer = d.ack(ann, {range(0, 7), range(9, 100)});
  CHECK(answer.lost == ranges{range(5, 7), range(10, 100)});
  CHECK(answer.answered_by == proposal_number{1});
  CHECK(d.view().counts.acked == 0);
  CHECK(d.view().leased == 10); // being settled is neither ready nor settled
  CHECK(d.ack(ann, {range(0, 5)}).lost == ranges{range(0, 5)});
  CHECK(d.ack(ann, {range(0, 5)}).answered_by == proposal_number{});
  const auto p = d.rules.propose(d.now, 0.5);
  REQUIRE(p);
  CHECK(p->number == answer.answered_by);
  CHECK(p->record.groups.at(0).acked == ranges{range(0, 5), range(9, 10)});
  CHECK_FALSE(d.rules.propose(d.now, 0.5));
  CHECK(d.deliver().empty());
  d.rules.apply(p->record, p->number, d.now);
  CHECK(d.view().counts.acked == 6);
  CHECK(d.view().floor == at(5));
  CHECK(d.rules.needed() == ranges{range(5, 9)});
  CHECK(balances(d.view()));
  CHECK(d.ack(ann, {range(0, 5)}).lost == ranges{range(0, 5)});
}

TEST_CASE("an ack that comes twice in the log changes nothing the second time", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(5);
  const delivery_record acked{
      {{"g", {range(1, 4)}, {}, {}, {}}, {"nobody", {range(0, 5)}, {}, {}, {}}}};
  d.rules.apply(acked, {}, d.now);
  const auto once = d.snapshot();
  d.rules.apply(acked, {}, d.now);
  CHECK(d.snapshot() == once);
  CHECK(d.view().counts.acked == 3);
}

TEST_CASE("nothing that is not in the log is settled", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(2);
  d.rules.apply({{{"g", {range(1, 9)}, {{at(5), 2}}, {failed_at(5, 1)}, {dead_at(6)}}}}, {}, d.now);
  d.publish(8);
  CHECK(d.view().ready == 9);
  CHECK(d.snapshot().groups.at(0).attempts.empty());
}

TEST_CASE("what is given back goes out again as the delivery that it was", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(4);
  d.join(ann);
  REQUIRE(d.turn().size() == 4);
  const ranges two{range(1, 3), range(7, 8)};
  CHECK(d.rules.give_back(ann, two).lost == ranges{range(7, 8)});
  CHECK(d.view().ready == 2);
  CHECK_FALSE(d.rules.propose(d.now, 0.5));
  CHECK(d.deliver() == std::vector<delivery_order>{{ann, at(1), 1}, {ann, at(2), 1}});

  d.nack(ann, 1);
  d.commit();
  d.pass(1s);
  REQUIRE(d.turn() == std::vector<delivery_order>{{ann, at(1), 2}});
  CHECK(d.rules.give_back(ann, ranges{range(1, 2)}).lost.empty());
  CHECK(d.commit().empty()); // its attempt is recorded already
  CHECK(d.deliver() == std::vector<delivery_order>{{ann, at(1), 2}});
}

TEST_CASE("a consumer that closes gives everything back uncounted", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(4);
  d.join(ann);
  REQUIRE(d.turn().size() == 4);
  const auto answer = d.ack(ann, {range(0, 1)});
  d.rules.leave(ann, leaving::closed, d.now);
  CHECK(d.view().consumers == 0);
  d.join(bob);
  CHECK(d.turn() == std::vector<delivery_order>{{bob, at(1), 1}, {bob, at(2), 1}, {bob, at(3), 1}});
  CHECK(d.view().counts.acked == 1); // what it had said holds
  CHECK(d.snapshot().groups.at(0).attempts.empty());
  CHECK(d.ack(ann, {range(1, 2)}).lost == ranges{range(1, 2)});
}

TEST_CASE("a lease ends in its time, and later when it is extended", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(3);
  d.join(ann);
  REQUIRE(d.turn().size() == 3);
  CHECK(d.rules.next_tick() == 31s);
  d.pass(29s);
  const ranges some{range(1, 2), range(8, 9)};
  CHECK(d.rules.extend(ann, some, 10s, d.now).lost == ranges{range(8, 9)});
  const ranges last{range(2, 3)};
  CHECK(d.rules.extend(ann, last, 0s, d.now).lost.empty());
  d.pass(1s);
  auto failed = d.commit().at(0).groups.at(0).failed;
  REQUIRE(failed.size() == 1);
  CHECK(failed[0].offset == at(0));
  CHECK(failed[0].why == failed_because::lease_expired);
  CHECK(failed[0].consumer == "consumer-1");
  CHECK(d.ack(ann, {range(0, 1)}).lost == ranges{range(0, 1)});
  d.pass(9s);
  failed = d.commit().at(0).groups.at(0).failed;
  REQUIRE(failed.size() == 1);
  CHECK(failed[0].offset == at(1));
  d.pass(1s); // both that failed are due again
  CHECK(d.rules.next_tick() == 60s);
  const ranges everything{range(0, 9)};
  (void)d.rules.extend(ann, everything, milliseconds::max(), d.now);
  CHECK(d.rules.next_tick() == d.now.steady + d.limits.lease_max);
  CHECK(balances(d.view()));
}

TEST_CASE("a consumer that vanishes counts an attempt for all that it held", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(3);
  d.join(ann);
  REQUIRE(d.turn().size() == 3);
  d.ack(ann, {range(1, 2)});
  d.rules.leave(ann, leaving::vanished, d.now);
  const auto records = d.commit();
  REQUIRE(records.size() == 1);
  CHECK(records[0].groups.at(0).acked == ranges{range(1, 2)});
  REQUIRE(records[0].groups.at(0).failed.size() == 2);
  CHECK(records[0].groups.at(0).failed[1].why == failed_because::disconnected);
  CHECK(d.view().delayed == 2);
  CHECK(balances(d.view()));
}

TEST_CASE("joining is refused beyond the limits, by their names", "[delivery]") {
  delivery_limits few;
  few.consumers_max = 1;
  few.credit_messages_max = 10;
  few.groups_max = 1;
  depot d{few};
  CHECK(d.rules.join("g", ann, "a", 1, 1).error().code == ec::unknown_group);
  d.create("g");
  CHECK(d.rules.check_create({group_action::create, "g", {}, {}}));
  CHECK(d.rules.check_create({group_action::create, "h", {}, {}}).error().code ==
        ec::limit_reached);
  CHECK(d.rules.join("g", ann, "a", 11, 1).error().detail.find("credit-messages-max") !=
        std::string::npos);
  REQUIRE(d.rules.join("g", ann, "a", 10, 1));
  REQUIRE(d.rules.join("g", ann, "a", 5, 1));
  CHECK(d.rules.join("g", bob, "b", 1, 1).error().code == ec::limit_reached);
  d.create("h");
  CHECK(d.rules.join("h", ann, "a", 1, 1).error().code == ec::bad_argument);
}

TEST_CASE("five million messages pass one that is stuck, in ranges", "[delivery]") {
  depot d;
  d.create("g", {.lease = 24h});
  d.join(ann, "g", 2'000);
  std::uint64_t done = 0;
  d.publish(1);
  REQUIRE(d.turn().size() == 1);
  while (done < 5'000'000) {
    d.publish(1'000);
    const auto orders = d.turn();
    for (const auto& each : offsets_of(orders)) {
      const auto answer = d.ack(ann, {each});
      REQUIRE(answer.lost.empty());
      done += each.end.value - each.first.value;
    }
  }
  d.commit();
  CHECK(d.view().floor == at(0));
  CHECK(d.view().settled_ranges == 1);
  CHECK(d.rules.needed() == ranges{range(0, 1)});
  CHECK(d.view().counts.acked == 5'000'000);
}

} // namespace waybill::bench
