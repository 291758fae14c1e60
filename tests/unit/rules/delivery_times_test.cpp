// Messages that came with a time before which, or from which on, they are not delivered.
#include "delivery_bench.hpp"

namespace waybill::bench {
namespace {

wall_time in(const depot& d, milliseconds span) { return d.now.wall + span; }

} // namespace

TEST_CASE("a message is not delivered before its time, and others do not wait for it",
          "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish_timed({.not_before = in(d, 10s)});
  d.publish(2);
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(1, 3)});
  CHECK(d.view().delayed == 1);
  CHECK(d.view().ready == 0);
  d.pass(9'999ms);
  CHECK(d.turn().empty());
  CHECK(d.rules.next_tick() == d.now.steady + 1ms);
  d.pass(1ms);
  const auto orders = d.turn();
  REQUIRE(orders.size() == 1);
  CHECK(orders[0] == delivery_order{ann, at(0), 1});
}

TEST_CASE("a time that has passed already delays nothing", "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish_timed({.not_before = in(d, -1s)});
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1)});
}

TEST_CASE("a message that is still waiting is shown as delayed while nobody consumes",
          "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish_timed({.not_before = in(d, 10s)});
  d.commit();
  CHECK(d.view().delayed == 1);
  CHECK(balances(d.view()));
}

TEST_CASE("what expires without having been acknowledged is a dead letter of each group",
          "[delivery][times]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish_timed({.expires = in(d, 5s)});
  d.commit();
  d.join(bob, "h");
  REQUIRE(d.turn().size() == 1);
  CHECK(d.ack(bob, {range(0, 1)}).lost.empty());
  d.commit();
  d.pass(5s);
  const auto records = d.commit();
  REQUIRE(records.size() == 1);
  REQUIRE(records[0].groups.size() == 1);
  const auto& change = records[0].groups[0];
  CHECK(change.group == "g");
  REQUIRE(change.dead.size() == 1);
  CHECK(change.dead[0].why == failed_because::expired);
  CHECK(change.dead[0].attempts == 0);
  CHECK(d.view("g").counts.expired == 1);
  CHECK(d.view("h").counts.expired == 0);
  CHECK(balances(d.view("g")));
  CHECK(d.rules.timed_count() == 0);
  d.join(ann);
  CHECK(d.turn().empty());
}

TEST_CASE("who holds a message when it expires may still acknowledge it", "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish_timed({.expires = in(d, 5s)});
  d.join(ann);
  REQUIRE(d.turn().size() == 1);
  d.pass(6s);
  CHECK(d.commit().empty());
  SECTION("and then it is acknowledged") {
    CHECK(d.ack(ann, {range(0, 1)}).lost.empty());
    d.commit();
    CHECK(d.view().counts.acked == 1);
    CHECK(d.view().dead_held == 0);
  }
  SECTION("but when it fails, it is dead, whatever attempts are left") {
    CHECK(d.nack(ann, 0).lost.empty());
    d.commit();
    CHECK(d.view().counts.expired == 1);
    CHECK(d.view().dead_held == 1);
  }
  SECTION("and so it is when it is given back") {
    CHECK(d.rules.give_back(ann, ranges{range(0, 1)}).lost.empty());
    d.commit();
    CHECK(d.view().counts.expired == 1);
  }
}

TEST_CASE("times outlive a change of leader", "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish_timed({.not_before = in(d, 10s), .expires = in(d, 20s)});
  d.publish_timed({.expires = in(d, 3s)});
  d.change_leader();
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(1, 2)});
  d.rules.leave(ann, leaving::closed, d.now);
  d.pass(10s);
  d.commit();
  CHECK(d.view().counts.expired == 1);
  d.change_leader();
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1)});
}

TEST_CASE("a wait that is longer than a failed attempt's delay does not come twice",
          "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish_timed({.not_before = in(d, 10s)});
  d.join(ann);
  d.turn();
  d.pass(10s);
  REQUIRE(d.turn().size() == 1);
  CHECK(d.nack(ann, 0).lost.empty());
  d.commit();
  CHECK(d.turn().empty());
  d.pass(1s); // the policy's delay
  d.commit();
  REQUIRE(d.deliver().size() == 1);
}

TEST_CASE("a group that is held back gets no message for the first time because its time has come",
          "[delivery][times]") {
  delivery_limits limits;
  limits.waiting_max = 1;
  depot d{limits};
  d.create("g");
  d.publish(2);
  d.publish_timed({.not_before = in(d, 10s)});
  d.join(ann);
  REQUIRE(d.turn().size() == 2);
  for (const std::uint64_t offset : {0, 1})
    CHECK(d.rules.nack(ann, at(offset), 30s, "no", d.now, 0.5).lost.empty());
  d.commit();
  REQUIRE(d.view().held_back);
  d.pass(10s);
  CHECK(d.turn().empty());
  CHECK(d.view().ready == 1);
}

TEST_CASE("messages that wait for their time hold nobody back by the gaps that they leave",
          "[delivery][times]") {
  delivery_limits limits;
  limits.settled_ranges_max = 2;
  depot d{limits};
  d.create("g");
  d.join(ann);
  for (std::uint64_t i = 0; i < 10; ++i) {
    d.publish_timed({.not_before = in(d, 24h)});
    d.publish(1);
    REQUIRE(offsets_of(d.turn()) == ranges{range(2 * i + 1, 2 * i + 2)});
    CHECK(d.ack(ann, {range(2 * i + 1, 2 * i + 2)}).lost.empty());
  }
  d.commit();
  CHECK_FALSE(d.view().held_back);
  CHECK(d.rules.fill_of("g")->settled_ranges == 0);
}

TEST_CASE("an acknowledgement does not wait for all that expires at once", "[delivery][times]") {
  depot d;
  d.create("g");
  d.publish(1);
  d.join(ann);
  REQUIRE(d.turn().size() == 1);
  for (int i = 0; i < 500; ++i)
    d.publish_timed({.expires = in(d, 5s)});
  d.pass(5s);
  const auto first = d.rules.propose(d.now, 0.5);
  REQUIRE(first);
  CHECK(first->record.groups.at(0).dead.size() <= 16);
  const auto said = d.ack(ann, {range(0, 1)});
  CHECK(said.answered_by.value - first->number.value <= 2);
  d.rules.apply(first->record, first->number, d.now);
  d.commit();
  CHECK(d.view().counts.expired == 500);
}

TEST_CASE("times are forgotten with the last group that may get the message", "[delivery][times]") {
  depot d;
  d.publish_timed({.expires = in(d, 3s)});
  CHECK(d.rules.timed_count() == 1); // no group: kept for those to come
  d.create("g");
  d.create("late", plain_policy(), 1);
  CHECK(d.rules.timed_count() == 1);
  d.remove("g");
  CHECK(d.rules.timed_count() == 0);
}

} // namespace waybill::bench
