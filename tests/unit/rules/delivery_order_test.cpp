// Ordered groups: one message of a key at a time, a key's messages to one consumer.
#include "actors/rules/key_order.hpp"
#include "delivery_bench.hpp"

namespace waybill::bench {
namespace {

constexpr std::uint64_t red = 11, blue = 22;

group_policy in_order() {
  auto policy = plain_policy();
  policy.ordered = true;
  return policy;
}

} // namespace

TEST_CASE("of each key one message is out, and the next comes when it is settled",
          "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.publish_keys({red, red, blue, red, blue});
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1), range(2, 3)});
  CHECK(d.view().behind == 3);
  CHECK(balances(d.view()));
  CHECK(d.ack(ann, {range(0, 1)}).lost.empty());
  CHECK(d.deliver().empty()); // not before it is committed
  CHECK(offsets_of(d.turn()) == ranges{range(1, 2)});
  CHECK(d.ack(ann, {range(1, 3)}).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(3, 5)});
}

TEST_CASE("messages without a key wait for nobody", "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.publish_keys({0, red, 0, red, 0});
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 3), range(4, 5)});
}

TEST_CASE("a key that is stuck stops no other key", "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.publish_keys({red, blue, red, blue, red, blue});
  d.join(ann);
  REQUIRE(offsets_of(d.turn()) == ranges{range(0, 2)});
  CHECK(d.nack(ann, 0).lost.empty()); // comes again in a second
  for (const std::uint64_t offset : {1, 3, 5}) {
    CHECK(d.ack(ann, {range(offset, offset + 1)}).lost.empty());
    d.turn();
  }
  CHECK(d.view().counts.acked == 3);
  CHECK(d.view().behind == 2);
  d.pass(1s);
  const auto again = d.turn();
  REQUIRE(again.size() == 1);
  CHECK(again[0] == delivery_order{ann, at(0), 2});
}

TEST_CASE("a key's next message follows one that became a dead letter", "[delivery][order]") {
  depot d;
  auto once = in_order();
  once.attempts_max = 1;
  d.create("g", once);
  d.publish_keys({red, red});
  d.join(ann);
  REQUIRE(d.turn().size() == 1);
  CHECK(d.nack(ann, 0).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(1, 2)});
  CHECK(d.view().dead_held == 1);
}

TEST_CASE("a key's messages go to one consumer while it stays", "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.publish_keys({red, blue, red, blue, red, blue});
  d.join(ann);
  d.join(bob);
  auto orders = d.turn();
  REQUIRE(orders.size() == 2);
  REQUIRE(orders[0].consumer != orders[1].consumer); // keys are shared out
  const auto of_red = orders[0].consumer;
  const auto of_blue = orders[1].consumer;
  CHECK(d.ack(of_red, {range(0, 1)}).lost.empty());
  CHECK(offsets_of(d.turn(), of_red) == ranges{range(2, 3)});
  d.join(cid);
  CHECK(d.ack(of_blue, {range(1, 2)}).lost.empty());
  CHECK(offsets_of(d.turn(), of_blue) == ranges{range(3, 4)});
  SECTION("and to another one when it has left") {
    d.rules.leave(of_red, leaving::closed, d.now);
    orders = d.turn();
    REQUIRE(orders.size() == 1);
    CHECK(orders[0].offset == at(2));
    CHECK(orders[0].consumer != of_red);
  }
  SECTION("or when it takes nothing any more") {
    CHECK(d.ack(of_red, {range(2, 3)}).lost.empty());
    d.commit();
    d.rules.set_credit(of_red, 0, 0);
    orders = d.deliver();
    REQUIRE(orders.size() == 1);
    CHECK(orders[0].offset == at(4));
    CHECK(orders[0].consumer != of_red);
  }
}

TEST_CASE("a key waits for its consumer's credit, and others do not", "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.join(ann, "g", 1);
  d.publish_keys({red, blue});
  REQUIRE(offsets_of(d.turn(), ann) == ranges{range(0, 1)});
  CHECK(d.ack(ann, {range(0, 1)}).lost.empty());
  REQUIRE(offsets_of(d.turn(), ann) == ranges{range(1, 2)}); // ann has both keys now
  d.join(bob);
  d.publish_keys({red, 33, red});
  CHECK(offsets_of(d.turn(), bob) == ranges{range(3, 4)});
  CHECK(d.ack(ann, {range(1, 2)}).lost.empty());
  CHECK(offsets_of(d.turn(), ann) == ranges{range(2, 3)});
}

TEST_CASE("the order outlives a change of leader", "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.publish_keys({red, red, blue});
  d.join(ann);
  REQUIRE(offsets_of(d.turn()) == ranges{range(0, 1), range(2, 3)});
  CHECK(d.nack(ann, 0).lost.empty());
  d.commit();
  d.change_leader();
  d.join(bob);
  CHECK(offsets_of(d.turn()) == ranges{range(2, 3)}); // red waits for its second attempt
  d.pass(1s);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1)});
}

TEST_CASE("a message that waits for its time holds up nobody, and takes its turn when it comes",
          "[delivery][order]") {
  depot d;
  d.create("g", in_order());
  d.publish_timed({.not_before = d.now.wall + 10s});
  d.keys[at(0)] = red;
  d.publish_keys({red, red});
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(1, 2)});
  d.pass(10s);
  CHECK(d.turn().empty()); // one of red is out
  CHECK(d.ack(ann, {range(1, 2)}).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1)});
}

TEST_CASE("a group becomes ordered when nothing is out any more, and free at once",
          "[delivery][order]") {
  depot d;
  d.create("g");
  d.publish_keys({red, red, red});
  d.join(ann, "g", 2);
  REQUIRE(offsets_of(d.turn()) == ranges{range(0, 2)});
  d.rules.apply(group_record{group_action::update, "g", in_order(), {}}, d.now);
  CHECK(d.turn().empty());
  CHECK(d.ack(ann, {range(0, 1)}).lost.empty());
  CHECK(d.turn().empty()); // another is out, and nobody knows its key
  CHECK(d.ack(ann, {range(1, 2)}).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(2, 3)});
  d.publish_keys({red});
  CHECK(d.turn().empty());
  d.rules.apply(group_record{group_action::update, "g", plain_policy(), {}}, d.now);
  CHECK(offsets_of(d.turn()) == ranges{range(3, 4)});
}

TEST_CASE("too many messages behind their keys hold the group back, and it recovers",
          "[delivery][order]") {
  delivery_limits limits;
  limits.behind_max = 2;
  depot d{limits};
  d.create("g", in_order());
  d.publish_keys({red, red, red, red, blue});
  d.join(ann);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1)});
  CHECK(d.view().held_back);
  CHECK(d.ack(ann, {range(0, 1)}).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(1, 2), range(4, 5)});
  CHECK_FALSE(d.view().held_back);
}

TEST_CASE("idle keys are forgotten, the longest idle first", "[delivery][order]") {
  key_order keys{1};
  const key_number first{1}, second{2};
  for (const auto& [offset, key] : {std::pair{at(0), first}, std::pair{at(1), second}}) {
    CHECK(keys.enter(offset, key) == key_order::turn::current);
    keys.hold(offset, ann);
    CHECK(keys.settle({offset, at(offset.value + 1)}).empty());
  }
  CHECK(keys.held_by(ann) == 1);
  CHECK(keys.enter(at(2), second) == key_order::turn::current);
  CHECK(keys.holder(at(2)) == ann);
  CHECK(keys.enter(at(3), first) == key_order::turn::current);
  CHECK_FALSE(keys.holder(at(3)));
}

} // namespace waybill::bench
