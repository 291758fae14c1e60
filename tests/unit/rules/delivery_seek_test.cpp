// A group that goes on reading from another place.
#include "delivery_bench.hpp"

namespace waybill::bench {

TEST_CASE("what lies before the place is skipped, under its own name", "[delivery][seek]") {
  depot d;
  d.create("g");
  d.publish(10);
  d.join(ann, "g", 4);
  REQUIRE(offsets_of(d.turn()) == ranges{range(0, 4)});
  CHECK(d.ack(ann, {range(0, 2)}).lost.empty());
  d.commit();
  d.seek("g", 7);
  CHECK(d.view().counts.skipped == 5);
  CHECK(d.view().counts.acked == 2);
  CHECK(balances(d.view()));
  CHECK(d.ack(ann, {range(2, 4)}).lost == ranges{range(2, 4)}); // its lease has ended
  CHECK(offsets_of(d.turn()) == ranges{range(7, 10)});
}

TEST_CASE("what was acknowledged comes again while another group still needs it",
          "[delivery][seek]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish(10);
  d.join(ann);
  d.join(bob, "h");
  d.turn();
  CHECK(d.ack(ann, {range(0, 10)}).lost.empty());
  CHECK(d.ack(bob, {range(0, 3)}).lost.empty());
  d.commit();
  d.seek("g", 1);
  CHECK(d.view().counts.reopened == 7); // 1 and 2 were settled by both: they may be gone
  CHECK(balances(d.view()));
  CHECK(offsets_of(d.turn(), ann) == ranges{range(3, 10)});
  CHECK(d.rules.needed() == ranges{range(3, 10)});
  SECTION("also after a change of leader") {
    d.change_leader();
    d.join(cid);
    CHECK(offsets_of(d.turn(), cid) == ranges{range(3, 10)});
  }
}

TEST_CASE("a group that was to start ahead of the log gets all that comes after a seek back",
          "[delivery][seek]") {
  const auto ordered = GENERATE(false, true);
  CAPTURE(ordered);
  depot d;
  auto policy = plain_policy();
  policy.ordered = ordered;
  d.publish(5);
  d.create("g", policy, 20);
  d.join(ann);
  CHECK(d.turn().empty());
  d.seek("g", 3);
  d.publish(5);
  CHECK(offsets_of(d.turn()) == ranges{range(5, 10)}); // what came before may be gone
  CHECK(balances(d.view()));
}

TEST_CASE("the only group gets nothing again that it had settled", "[delivery][seek]") {
  depot d;
  d.create("g");
  d.publish(5);
  d.join(ann);
  d.turn();
  CHECK(d.ack(ann, {range(0, 5)}).lost.empty());
  d.commit();
  d.seek("g", 0);
  CHECK(d.view().counts.reopened == 0);
  CHECK(d.turn().empty());
}

TEST_CASE("dead letters that are held, and what was for others, do not come again",
          "[delivery][seek]") {
  depot d;
  d.create("g");
  d.create("h");
  d.publish(3);
  d.rules.apply({{{"g", {range(0, 1)}, {}, {}, {dead_at(1)}}}}, {}, d.now);
  d.publish(1, "h"); // redriven for h alone
  d.join(ann);
  d.seek("g", 0);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 1), range(2, 3)});
  CHECK(d.view().dead_held == 1);
  CHECK(balances(d.view()));
}

TEST_CASE("a group can go back behind its own start", "[delivery][seek]") {
  depot d;
  d.create("all");
  d.publish(6);
  d.create("late", plain_policy(), 4);
  d.join(ann, "late");
  REQUIRE(offsets_of(d.turn(), ann) == ranges{range(4, 6)});
  d.seek("late", 2);
  CHECK(offsets_of(d.turn(), ann) == ranges{range(2, 4)});
  CHECK(balances(d.view("late")));
}

TEST_CASE("a place behind the last message is the next one", "[delivery][seek]") {
  depot d;
  d.create("g");
  d.publish(3);
  d.join(ann);
  d.seek("g", 100);
  CHECK(d.view().counts.skipped == 3);
  d.publish(2);
  CHECK(offsets_of(d.turn()) == ranges{range(3, 5)});
}

TEST_CASE("what was under way for a message that a seek passed over is over", "[delivery][seek]") {
  depot d;
  auto once = plain_policy();
  once.attempts_max = 1;
  d.create("g", once);
  d.create("h"); // keeps everything
  d.publish(4);
  d.join(ann);
  REQUIRE(d.turn().size() == 4);
  CHECK(d.nack(ann, 1).lost.empty()); // its burial is gathered, and not proposed
  d.seek("g", 3);
  for (const auto& record : d.commit()) {
    for (const auto& changes : record.groups)
      CHECK(changes.dead.empty());
  }
  CHECK(d.view().dead_held == 0);
  d.seek("g", 0);
  CHECK(offsets_of(d.turn(), ann) == ranges{range(0, 3)});
  CHECK(balances(d.view()));
}

TEST_CASE("a dead letter that a seek overtook in the log is none", "[delivery][seek]") {
  depot d;
  d.create("g");
  d.publish(4);
  d.seek("g", 3);
  const auto buried = d.rules.apply({{{"g", {}, {}, {}, {dead_at(1), dead_at(3)}}}}, {}, d.now);
  CHECK(buried == std::vector{std::pair{std::string{"g"}, at(3)}});
  CHECK(d.view().dead_held == 1);
}

TEST_CASE("a seek back enters no more messages under their keys than may wait there",
          "[delivery][seek][order]") {
  delivery_limits limits;
  limits.behind_max = 10;
  depot d{limits};
  auto in_order = plain_policy();
  in_order.ordered = true;
  d.create("g", in_order);
  d.create("h"); // has settled nothing
  for (int i = 0; i < 200; ++i)
    d.publish_keys({7});
  d.rules.apply({{{"g", {range(0, 200)}, {}, {}, {}}}}, {}, d.now);
  d.join(ann);
  CHECK(d.turn().empty());
  d.seek("g", 0);
  for (std::uint64_t offset = 0; offset < 200; ++offset) {
    REQUIRE(offsets_of(d.turn(), ann) == ranges{range(offset, offset + 1)});
    CHECK(d.view().behind <= 11);
    CHECK(d.ack(ann, {range(offset, offset + 1)}).lost.empty());
  }
}

TEST_CASE("an ordered group keeps the order of what comes again", "[delivery][seek][order]") {
  depot d;
  auto in_order = plain_policy();
  in_order.ordered = true;
  d.create("g", in_order);
  d.create("h"); // has settled nothing
  d.publish_keys({7, 7, 7, 7});
  d.join(ann);
  for (std::uint64_t offset = 0; offset < 3; ++offset) {
    REQUIRE(offsets_of(d.turn(), ann) == ranges{range(offset, offset + 1)});
    CHECK(d.ack(ann, {range(offset, offset + 1)}).lost.empty());
  }
  REQUIRE(offsets_of(d.turn(), ann) == ranges{range(3, 4)});
  d.seek("g", 1);
  CHECK(d.turn().empty()); // one of the key is out
  CHECK(d.ack(ann, {range(3, 4)}).lost.empty());
  CHECK(offsets_of(d.turn(), ann) == ranges{range(1, 2)});
  CHECK(d.ack(ann, {range(1, 2)}).lost.empty());
  CHECK(offsets_of(d.turn(), ann) == ranges{range(2, 3)});
}

} // namespace waybill::bench
