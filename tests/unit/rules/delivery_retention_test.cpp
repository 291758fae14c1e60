// What retention takes from groups, and what it keeps for them.
#include "delivery_bench.hpp"

namespace waybill::bench {
namespace {

void retain(depot& d, std::uint64_t dropped_below, std::optional<message_offset> kept_from) {
  d.rules.apply(retention_record{at(dropped_below), kept_from});
}

} // namespace

TEST_CASE("what a group has not read and is dropped stands under its own name",
          "[delivery][retention]") {
  depot d;
  d.create("g");
  d.publish(10);
  d.join(ann, "g", 4);
  REQUIRE(offsets_of(d.turn()) == ranges{range(0, 4)});
  CHECK(d.ack(ann, {range(0, 2)}).lost.empty());
  d.commit();
  retain(d, 6, {});
  CHECK(d.view().counts.dropped_unread == 4);
  CHECK(d.view().counts.acked == 2);
  CHECK(d.view().leased == 0);
  CHECK(balances(d.view()));
  CHECK(d.rules.needed() == ranges{range(6, 10)});
  CHECK(d.ack(ann, {range(2, 4)}).lost == ranges{range(2, 4)}); // its lease has ended
  CHECK(offsets_of(d.turn()) == ranges{range(6, 10)});
  SECTION("and does not come again") {
    d.seek("g", 0);
    d.create("h");
    d.join(bob, "h");
    CHECK(offsets_of(d.turn(), bob) == ranges{range(6, 10)});
    CHECK(d.view().counts.reopened == 0);
  }
  SECTION("also when it reaches beyond the log") {
    retain(d, 100, {});
    d.publish(3);
    CHECK(d.view().counts.dropped_unread == 8);
    CHECK(d.rules.needed() == ranges{range(10, 13)});
  }
}

TEST_CASE("what is dropped is not buried, though that was under way", "[delivery][retention]") {
  depot d;
  auto policy = plain_policy();
  policy.attempts_max = 1;
  d.create("g", policy);
  d.publish(2);
  d.join(ann);
  d.turn();
  CHECK(d.nack(ann, 0).lost.empty());
  retain(d, 1, {});
  d.commit();
  CHECK(d.view().counts.dead == 0);
  CHECK(d.view().counts.dropped_unread == 1);
  CHECK(balances(d.view()));
}

TEST_CASE("a topic without groups loses what retention takes", "[delivery][retention]") {
  depot d;
  d.publish(10);
  retain(d, 4, {});
  CHECK(d.rules.needed() == ranges{range(4, 10)});
  d.create("g");
  CHECK(d.view().counts.arrived == 6);
}

TEST_CASE("what is kept comes again for a group that is alone", "[delivery][retention]") {
  depot d;
  retain(d, 0, at(0));
  d.create("g");
  d.publish(10);
  d.join(ann);
  d.turn();
  CHECK(d.ack(ann, {range(0, 10)}).lost.empty());
  d.commit();
  CHECK(d.rules.needed() == ranges{range(0, 10)});
  retain(d, 0, at(4));
  CHECK(d.rules.needed() == ranges{range(4, 10)});
  SECTION("as far back as it reaches") {
    d.seek("g", 2);
    CHECK(d.view().counts.reopened == 6);
    CHECK(offsets_of(d.turn()) == ranges{range(4, 10)});
    CHECK(balances(d.view()));
  }
  SECTION("and for one that is new") {
    d.create("h");
    d.join(bob, "h");
    CHECK(offsets_of(d.turn(), bob) == ranges{range(4, 10)});
  }
  SECTION("and for one that comes when there is none") {
    d.remove("g");
    CHECK(d.rules.needed() == ranges{range(4, 10)});
    retain(d, 0, at(7));
    CHECK(d.rules.needed() == ranges{range(7, 10)});
    d.create("h");
    CHECK(d.rules.needed() == ranges{range(7, 10)});
    retain(d, 0, at(8));
    CHECK(d.rules.needed() == ranges{range(7, 10)}); // the new group has not settled it
  }
  SECTION("until nothing is kept any more") {
    retain(d, 0, {});
    CHECK(d.rules.needed().empty());
    d.seek("g", 0);
    CHECK(d.view().counts.reopened == 0);
  }
}

TEST_CASE("keeping begins with what comes, for the rest may be gone", "[delivery][retention]") {
  depot d;
  d.create("g");
  d.publish(5);
  d.join(ann);
  d.turn();
  CHECK(d.ack(ann, {range(0, 5)}).lost.empty());
  d.commit();
  retain(d, 0, at(0));
  CHECK(d.rules.kept_from() == at(5));
  CHECK(d.rules.needed().empty());
}

} // namespace waybill::bench
