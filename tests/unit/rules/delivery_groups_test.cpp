// Groups that come and go, redrives, what may be dropped, snapshots.
#include "delivery_bench.hpp"

namespace waybill::bench {

namespace {
void ack_all(depot& d, const std::string& group, const ranges& some) {
  d.rules.apply({{{group, some, {}, {}, {}}}}, {}, d.now);
}
void die(depot& d, const std::string& group, std::uint64_t offset) {
  d.rules.apply({{{group, {}, {}, {}, {dead_at(offset, d.now.wall)}}}}, {}, d.now);
}
} // namespace

TEST_CASE("a group gets what lies at or after its start", "[delivery]") {
  depot d;
  d.publish(10);
  d.create("g", plain_policy(), 4);
  CHECK(d.view().counts.arrived == 6);
  CHECK(d.view().floor == at(4));
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(4, 10)});
  CHECK(balances(d.view()));
}

TEST_CASE("a start ahead of the log settles nothing that is not there for groups to come",
          "[delivery]") {
  depot d;
  d.publish(3);
  d.create("g", plain_policy(), 10);
  CHECK(d.view().counts.arrived == 0);
  d.create("h");
  d.publish(9);
  CHECK(d.view("g").counts.arrived == 2);
  CHECK(d.view("g").ready == 2);
  CHECK(d.view("h").ready == 9); // 0 to 2 were settled by all there was
  CHECK(balances(d.view("g")));
  CHECK(balances(d.view("h")));
}

TEST_CASE("a record about a group that is not there, or there already, is passed over",
          "[delivery]") {
  depot d;
  d.publish(2);
  const auto empty = d.snapshot();
  d.rules.apply(group_record{group_action::update, "g", {}, {}}, d.now);
  d.remove("g");
  CHECK(d.snapshot() == empty);
  d.create("g");
  const auto once = d.snapshot();
  d.create("g", group_policy{}, 2);
  CHECK(d.snapshot() == once);
  auto other = plain_policy();
  other.lease = 5s;
  d.rules.apply(group_record{group_action::update, "g", other, {}}, d.now);
  CHECK(d.rules.policy_of("g") == other);
  CHECK_FALSE(d.rules.policy_of("h"));
}

TEST_CASE("needed is what some group has not settled; without groups, all that may be there",
          "[delivery]") {
  depot d;
  d.publish(10);
  CHECK(d.rules.needed() == ranges{range(0, 10)});
  d.create("g");
  d.create("h");
  ack_all(d, "g", {range(0, 6)});
  CHECK(d.rules.needed() == ranges{range(0, 10)});
  ack_all(d, "h", {range(2, 4), range(7, 8)});
  CHECK(d.rules.needed() == ranges{range(0, 2), range(4, 10)});
  d.remove("h");
  CHECK(d.rules.needed() == ranges{range(6, 10)});
  d.create("k"); // what g has settled may be dropped by now
  CHECK(d.view("k").counts.arrived == 4);
  CHECK(d.snapshot().settled_by_all == ranges{range(0, 6)});
  d.remove("k");
  ack_all(d, "g", {range(8, 9)});
  d.remove("g");
  CHECK(d.rules.needed() == ranges{range(6, 8), range(9, 10)});
  d.create("m");
  CHECK(d.rules.needed() == ranges{range(6, 8), range(9, 10)});
  d.join(ann, "m");
  CHECK(offsets_of(d.turn()) == ranges{range(6, 8), range(9, 10)});
}

TEST_CASE("a redrive comes back for its group alone, under new offsets", "[delivery]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish(3);
  die(d, "g", 0);
  die(d, "g", 2);
  die(d, "g", 1);
  CHECK(d.rules.apply(redrive_record{"g", {at(2), at(5), at(2)}, "batch"}) == std::vector{at(2)});
  d.publish(1, "g");
  CHECK(d.rules.apply(redrive_record{"g", {at(0)}, ""}) == std::vector{at(0)});
  CHECK(d.rules.apply(redrive_record{"nobody", {at(0)}, ""}).empty());
  const auto g = d.view("g");
  CHECK(g.counts.dead == 3);
  CHECK(g.dead_held == 1);
  CHECK(g.counts.redriven == 1);
  CHECK(g.counts.purged == 1);
  CHECK(g.counts.arrived == 4);
  CHECK(g.ready == 1);
  CHECK(balances(g));
  const auto h = d.view("h");
  CHECK(h.counts.for_others == 1);
  CHECK(h.counts.arrived == 4);
  CHECK(balances(h));
  d.join(ann, "g");
  CHECK(offsets_of(d.turn()) == ranges{range(3, 4)});
  CHECK(d.rules.needed() == ranges{range(0, 4)}); // h has settled none of the first three

  SECTION("a group that comes later does not get it either") {
    d.create("k");
    CHECK(d.view("k").counts.for_others == 1);
    CHECK(d.view("k").ready == 3);
    CHECK(balances(d.view("k")));
  }
  SECTION("whom it was for is remembered until every floor has passed it") {
    CHECK(d.snapshot().addressed == std::vector<addressed_range>{{range(3, 4), "g"}});
    d.ack(ann, {range(3, 4)});
    d.commit();
    CHECK(d.snapshot().addressed.size() == 1);
    ack_all(d, "h", {range(0, 3)});
    CHECK(d.snapshot().addressed.empty());
  }
}

TEST_CASE("a group that is removed ends its consumers and forgets what they said", "[delivery]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish(3);
  d.join(ann);
  d.join(bob, "h");
  d.turn();
  const auto answer = d.ack(ann, {range(0, 2)});
  d.remove("g");
  CHECK(d.rules.take_ended() == std::vector{ann});
  CHECK(d.rules.take_ended().empty());
  CHECK(d.ack(ann, {range(2, 3)}).lost == ranges{range(2, 3)});
  d.create("g");
  const auto p = d.rules.propose(d.now, 0.5);
  REQUIRE(p);
  CHECK(p->number == answer.answered_by); // the answer comes; nothing is settled for the new group
  CHECK(p->record.groups.empty());
  d.rules.apply(p->record, p->number, d.now);
  d.join(cid, "g");
  CHECK(offsets_of(d.turn(), cid) == ranges{range(0, 3)});
}

TEST_CASE("a snapshot holds all that is replicated", "[delivery]") {
  depot d;
  d.create("g");
  d.create("h", plain_policy(), 2);
  d.publish(20);
  d.join(ann);
  d.turn();
  d.ack(ann, {range(0, 3), range(5, 6)});
  d.nack(ann, 7);
  d.commit();
  d.pass(1s);
  d.turn();
  die(d, "g", 9);
  d.rules.apply(redrive_record{"g", {at(9)}, "batch"});
  d.publish(1, "g");
  die(d, "h", 4);
  d.create("k");
  const auto before = d.snapshot();
  depot other{d.limits, before};
  CHECK(other.snapshot() == before);
  CHECK(other.rules.needed() == d.rules.needed());
  for (auto* each : {&d, &other}) {
    each->publish(2);
    ack_all(*each, "g", {range(3, 8)});
    ack_all(*each, "h", {range(0, 30)});
    each->remove("k");
    each->create("m");
  }
  CHECK(other.snapshot() == d.snapshot());
}

TEST_CASE("a policy out of its range is refused by the name of the field", "[delivery]") {
  const delivery_limits l;
  CHECK(delivery::check_policy({}, l));
  const auto refused = [&](group_policy p, const std::string& field) {
    const auto answer = delivery::check_policy(p, l);
    return !answer && answer.error().code == ec::bad_argument &&
           answer.error().detail.find(field) != std::string::npos;
  };
  CHECK(refused({.lease = 0s}, "lease"));
  CHECK(refused({.lease = 25h}, "delivery.lease-max"));
  CHECK(refused({.attempts_max = 0}, "attempts"));
  CHECK(refused({.delay = -1ms}, "delay"));
  CHECK(refused({.delay = 1h, .delay_max = 1min}, "longest delay"));
  CHECK(refused({.factor = 0.5}, "factor"));
  CHECK(refused({.factor = std::numeric_limits<double>::quiet_NaN()}, "factor"));
  CHECK(refused({.jitter = 1.5}, "jitter"));
}

} // namespace waybill::bench
