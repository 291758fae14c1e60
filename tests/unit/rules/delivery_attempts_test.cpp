// Deliveries that fail: attempts, delays, dead letters, changes of leader, what holds a group back.
#include "delivery_bench.hpp"

namespace waybill::bench {

TEST_CASE("a message comes back after its delay, its attempt recorded before it goes out",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(1);
  d.join(ann);
  REQUIRE(d.turn() == std::vector<delivery_order>{{ann, at(0), 1}});
  const auto first_delivered = d.now.wall;
  d.pass(5s);
  CHECK(d.nack(ann, 0, "broken").answered_by == proposal_number{1});
  auto failed = d.commit().at(0).groups.at(0).failed.at(0);
  CHECK(failed.attempt == 1);
  CHECK(failed.reason == "broken");
  CHECK(failed.first_delivered == first_delivered);
  CHECK(failed.not_before == d.now.wall + 1s);
  CHECK(d.view().delayed == 1);
  CHECK(d.rules.out().at(0).delayed == ranges{range(0, 1)});
  CHECK(d.rules.next_tick() == d.now.steady + 1s);
  d.pass(999ms);
  CHECK(d.turn().empty());
  d.pass(1ms);
  CHECK(d.deliver().empty()); // not before it is recorded
  const auto p = d.rules.propose(d.now, 0.5);
  REQUIRE(p);
  CHECK(p->record.groups.at(0).started == std::vector<attempt_started>{{at(0), 2}});
  CHECK(d.deliver().empty());
  CHECK(d.rules.out().at(0).leased == ranges{range(0, 1)});
  d.rules.apply(p->record, p->number, d.now);
  CHECK(d.deliver() == std::vector<delivery_order>{{ann, at(0), 2}});
  d.nack(ann, 0);
  failed = d.commit().at(0).groups.at(0).failed.at(0);
  CHECK(failed.attempt == 2);
  CHECK(failed.not_before == d.now.wall + 2s); // grown by the factor
  CHECK(failed.first_delivered == first_delivered);
}

TEST_CASE("a message that is to be buried is dead at once, whatever attempts are left",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(2);
  d.join(ann);
  d.turn();
  const auto held = d.rules.held(ann, at(1));
  REQUIRE(held);
  CHECK(held->group == "g");
  CHECK(held->attempt == 1);
  CHECK_FALSE(d.rules.held(ann, at(2)));
  CHECK_FALSE(d.rules.held(bob, at(1)));
  (void)d.rules.nack(ann, at(1), std::nullopt, "no use", d.now, 0.5, after_failure::bury);
  const auto record = d.commit().at(0);
  CHECK(record.groups.at(0).failed.empty());
  REQUIRE(record.groups.at(0).dead.size() == 1);
  CHECK(record.groups.at(0).dead[0].offset == at(1));
  CHECK(record.groups.at(0).dead[0].attempts == 1);
  CHECK(record.groups.at(0).dead[0].reason == "no use");
  CHECK_FALSE(d.rules.held(ann, at(1)));
  CHECK(d.rules.held(ann, at(0)));
}

TEST_CASE("a delivery is told from a later one of the same message, under the same attempt",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(2);
  d.join(ann);
  d.turn();
  const auto first = d.rules.held(ann, at(1));
  REQUIRE(first);
  const ranges one{range(1, 2)};
  CHECK(d.rules.extend(ann, one, 10s, d.now).lost.empty());
  CHECK(d.rules.held(ann, at(1))->lease == first->lease);
  CHECK(d.rules.give_back(ann, one).lost.empty());
  CHECK(offsets_of(d.turn()) == ranges{range(1, 2)});
  const auto second = d.rules.held(ann, at(1));
  REQUIRE(second);
  CHECK(second->attempt == first->attempt);
  CHECK(second->lease != first->lease);
}

TEST_CASE("the last attempt that fails is a dead letter, in the record that settles it",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(2);
  d.join(ann);
  d.turn();
  d.ack(ann, {range(1, 2)});
  const auto first_delivered = d.now.wall;
  for (int attempt = 1; attempt < 3; ++attempt) {
    d.nack(ann, 0);
    d.commit();
    d.pass(1min);
    REQUIRE(d.turn() ==
            std::vector<delivery_order>{{ann, at(0), static_cast<std::uint32_t>(attempt + 1)}});
  }
  d.nack(ann, 0, "poison");
  const auto record = d.commit().at(0);
  CHECK(record.groups.at(0).failed.empty());
  const dead_letter expected{.offset = at(0),
                             .attempts = 3,
                             .why = failed_because::nack,
                             .reason = "poison",
                             .consumer = "consumer-1",
                             .first_delivered = first_delivered,
                             .published = {},
                             .died = d.now.wall,
                             .message = {}};
  CHECK(record.groups.at(0).dead == std::vector{expected});
  CHECK(d.view().floor == at(2));
  CHECK(d.view().counts.dead == 1);
  CHECK(d.view().dead_held == 1);
  CHECK(d.snapshot().groups.at(0).attempts.empty());
  CHECK(d.snapshot().groups.at(0).dead_letters ==
        std::map<message_offset, wall_time>{{at(0), d.now.wall}});
  CHECK(d.turn().empty());
  CHECK(balances(d.view()));
}

TEST_CASE("delays grow by the factor up to their bound, and jitter varies them both ways",
          "[delivery]") {
  const auto wait = [](group_policy policy, double random, std::optional<milliseconds> asked = {}) {
    depot d;
    d.create("g", policy);
    d.publish(1);
    d.join(ann);
    d.turn();
    (void)d.rules.nack(ann, at(0), asked, "", d.now, random);
    return d.commit().at(0).groups.at(0).failed.at(0).not_before - d.now.wall;
  };
  group_policy p = plain_policy();
  p.jitter = 0.5;
  CHECK(wait(p, 0.5) == 1s);
  CHECK(wait(p, 0) == 500ms);
  CHECK(wait(p, 1) == 1500ms);
  p.delay = 1h;
  CHECK(wait(p, 0.5) == 5min);
  p.delay = 0s;
  CHECK(wait(p, 1) == 0s);
  CHECK(wait(p, 1, 7s) == 7s);
  CHECK(wait(p, 1, 30 * 24h) == 24h);
  CHECK(wait(p, 1, -5s) == 0s);
}

TEST_CASE("a reason is cut between two characters, and marked", "[delivery]") {
  delivery_limits l;
  l.reason_bytes_max = 16;
  const auto kept = [&](const std::string& said) {
    depot d{l};
    d.create("g");
    d.publish(1);
    d.join(ann);
    d.turn();
    d.nack(ann, 0, said);
    return d.commit().at(0).groups.at(0).failed.at(0).reason;
  };
  CHECK(kept("sixteen bytes ok") == "sixteen bytes ok");
  CHECK(kept("sixteen bytes and") == "sixteen bytes…");
  CHECK(kept("twelve bytesäöü") == "twelve bytes…");
}

TEST_CASE("jumps of the wall clock change no delay of a leader", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(1);
  d.join(ann);
  d.turn();
  d.nack(ann, 0);
  d.commit();
  d.now.wall += 24h;
  d.pass(999ms);
  CHECK(d.turn().empty());
  d.now.wall -= 48h;
  d.pass(1ms);
  CHECK(d.turn().size() == 1);
}

TEST_CASE("an attempt that was recorded for one who left goes to another, recorded once",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(1);
  d.join(ann);
  d.turn();
  d.nack(ann, 0);
  d.commit();
  d.pass(1s);
  const auto p = d.rules.propose(d.now, 0.5);
  REQUIRE(p);
  SECTION("before it was committed") {
    d.rules.leave(ann, leaving::vanished, d.now);
    d.rules.apply(p->record, p->number, d.now);
  }
  SECTION("after it was committed") {
    d.rules.apply(p->record, p->number, d.now);
    d.rules.leave(ann, leaving::vanished, d.now);
  }
  CHECK(d.deliver().empty());
  CHECK(d.commit().empty());
  d.join(bob);
  CHECK(d.commit().empty());
  CHECK(d.deliver() == std::vector<delivery_order>{{bob, at(0), 2}});
}

TEST_CASE("an attempt begins only when somebody has room for it, which is kept for it",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(10);
  d.join(ann, "g", 1);
  d.turn();
  d.nack(ann, 0);
  d.commit();
  REQUIRE(offsets_of(d.deliver()) == ranges{range(1, 2)});
  d.pass(1s);
  CHECK(d.commit().empty());
  d.ack(ann, {range(1, 2)});
  const auto p = d.rules.propose(d.now, 0.5);
  REQUIRE(p);
  CHECK(d.deliver().empty()); // its one place is taken
  d.rules.apply(p->record, p->number, d.now);
  d.commit();
  CHECK(d.deliver() == std::vector<delivery_order>{{ann, at(0), 2}});
}

TEST_CASE("what an earlier leader had begun counts as failed with the next", "[delivery]") {
  depot d;
  auto policy = plain_policy();
  policy.attempts_max = 2;
  d.create("g", policy);
  d.publish(3);
  d.join(ann);
  d.turn();
  d.nack(ann, 0, "words");
  d.nack(ann, 1);
  d.commit();
  d.pass(1s);
  SECTION("and its last attempt makes it a dead letter") {
    d.turn();
    d.change_leader();
    d.join(bob);
    CHECK(d.deliver().empty()); // not before the first proposal
    const auto record = d.commit().at(0);
    REQUIRE(record.groups.at(0).dead.size() == 2);
    const auto& letter = record.groups.at(0).dead.at(0);
    CHECK(letter.offset == at(0));
    CHECK(letter.attempts == 2);
    CHECK(letter.why == failed_because::leader_changed);
    CHECK(letter.reason == "words");
    // A first delivery may be forgotten.
    CHECK(d.deliver() == std::vector<delivery_order>{{bob, at(2), 1}});
  }
  SECTION("and earlier ones wait") {
    d.rules.apply(group_record{group_action::update, "g", plain_policy(), {}}, d.now);
    d.turn();
    d.change_leader();
    const auto record = d.commit().at(0);
    REQUIRE(record.groups.at(0).failed.size() == 2);
    CHECK(record.groups.at(0).failed.at(0).attempt == 2);
    CHECK(record.groups.at(0).failed.at(0).not_before == d.now.wall + 2s);
    CHECK(d.view().delayed == 2);
  }
  SECTION("but what only waited goes on waiting") {
    d.change_leader();
    d.now.wall -= 300ms;
    CHECK(d.commit().empty());
    CHECK(d.view().delayed == 2);
    d.join(bob);
    d.pass(300ms);
    CHECK(offsets_of(d.turn()) == ranges{range(0, 3)});
  }
  CHECK(balances(d.view()));
}

TEST_CASE("a message that kills its consumers takes none of its neighbours along", "[delivery]") {
  const auto attempts = GENERATE(2u, 3u, 16u);
  const bool acks_before_it_dies = GENERATE(true, false);
  const auto killing = GENERATE(0u, 40u, 99u);
  CAPTURE(attempts, acks_before_it_dies, killing);
  depot d;
  auto policy = plain_policy();
  policy.attempts_max = attempts;
  d.create("g", policy);
  d.publish(100);
  d.join(ann);
  d.join(bob);
  std::uint32_t deaths = 0;
  for (int round = 0; round < 1'000 && d.view().floor < at(100); ++round) {
    const auto orders = d.turn();
    for (const auto who : {ann, bob}) {
      const auto in_hand = offsets_of(orders, who);
      const bool dies = std::ranges::any_of(in_hand, [&](const offset_range& each) {
        return each.first <= at(killing) && at(killing) < each.end;
      });
      for (const auto& each : in_hand) {
        if (!dies)
          d.ack(who, {each});
        else if (acks_before_it_dies && each.first < at(killing))
          d.ack(who, {{each.first, std::min(each.end, at(killing))}});
      }
      if (!dies)
        continue;
      ++deaths;
      d.rules.leave(who, leaving::vanished, d.now);
      d.commit();
      d.join(who);
    }
    d.commit();
    d.pass(policy.delay_max); // all of them come back at the same moment
  }
  CHECK(deaths == attempts);
  CHECK(d.view().counts.acked == 99);
  CHECK(d.snapshot().groups.at(0).dead_letters.contains(at(killing)));
  CHECK(balances(d.view()));
}

TEST_CASE("what may have killed two consumers is with each one alone among its like",
          "[delivery]") {
  depot d;
  auto policy = plain_policy();
  policy.attempts_max = 5;
  d.create("g", policy);
  d.publish(10);
  for (int death = 0; death < 2; ++death) {
    d.join(ann);
    REQUIRE(offsets_of(d.turn()) == ranges{range(0, 10)});
    d.rules.leave(ann, leaving::vanished, d.now);
    d.commit();
    d.pass(1min);
  }
  d.join(ann);
  d.join(bob);
  d.publish(4); // what is fresh goes on beside it
  const auto orders = d.turn();
  CHECK(offsets_of(orders) == ranges{range(0, 2), range(10, 14)});
  CHECK(offsets_of(orders, ann).at(0) == range(0, 1));
  CHECK(offsets_of(orders, bob).at(0) == range(1, 2));
  d.ack(bob, {range(1, 2)});
  CHECK(d.turn() == std::vector<delivery_order>{{bob, at(2), 3}});
  d.rules.leave(ann, leaving::closed, d.now); // its one goes to another, as it is
  CHECK(offsets_of(d.turn()).at(0) == range(0, 1));
  CHECK(balances(d.view()));
}

TEST_CASE("a policy that allows fewer attempts gives up on what has failed too often",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(2);
  d.join(ann);
  d.turn();
  d.nack(ann, 0, "why");
  d.commit();
  auto strict = plain_policy();
  strict.attempts_max = 1;
  const bool new_leader = GENERATE(false, true);
  d.rules.apply(group_record{group_action::update, "g", strict, {}}, d.now);
  if (new_leader)
    d.change_leader();
  const auto record = d.commit().at(0);
  REQUIRE(record.groups.at(0).dead.size() == 1);
  CHECK(record.groups.at(0).dead.at(0).attempts == 1);
  CHECK(record.groups.at(0).dead.at(0).reason == "why");
  CHECK(balances(d.view()));
}

TEST_CASE("a group with too many settled ranges gets what is stuck, and nothing new",
          "[delivery]") {
  delivery_limits l;
  l.settled_ranges_max = 2;
  depot d{l};
  d.create("g");
  d.publish(10);
  d.join(ann, "g", 7);
  d.turn();
  d.ack(ann, {range(1, 2), range(3, 4), range(5, 6)});
  d.commit();
  CHECK(d.view().held_back);
  CHECK(d.deliver().empty());
  d.nack(ann, 0);
  d.commit();
  d.pass(1s);
  CHECK(d.turn() == std::vector<delivery_order>{{ann, at(0), 2}});
  SECTION("also with a new leader, who must close the gaps") {
    d.change_leader();
    d.join(bob);
    d.commit();
    CHECK(offsets_of(d.deliver()) == ranges{range(2, 3), range(4, 5)});
  }
  SECTION("until the gaps close") {
    d.ack(ann, {range(2, 3)});
    d.commit();
    CHECK_FALSE(d.view().held_back);
    CHECK(offsets_of(d.deliver()) == ranges{range(7, 10)});
  }
}

TEST_CASE("a group in which too many messages have failed gets nothing new", "[delivery]") {
  delivery_limits l;
  l.waiting_max = 1;
  depot d{l};
  d.create("g");
  d.publish(4);
  d.join(ann, "g", 2);
  d.turn();
  d.nack(ann, 0);
  d.nack(ann, 1);
  d.commit();
  CHECK(d.view().held_back);
  CHECK(d.deliver().empty());
  d.pass(1s);
  CHECK(offsets_of(d.turn()) == ranges{range(0, 2)});
  d.ack(ann, {range(0, 1)});
  d.commit();
  CHECK_FALSE(d.view().held_back);
  CHECK(offsets_of(d.deliver()) == ranges{range(2, 3)});
}

TEST_CASE("a record is bounded, dead letters' messages counted, and answers name the right one",
          "[delivery]") {
  depot d;
  auto once = plain_policy();
  once.attempts_max = 1;
  d.create("g", once);
  d.publish(5);
  d.message_bytes = 400'000;
  d.join(ann, "g", 10, 64 << 20);
  d.turn();
  std::vector<std::uint64_t> answered;
  for (std::uint64_t o = 0; o < 5; ++o)
    answered.push_back(d.nack(ann, o).answered_by.value);
  CHECK(answered == std::vector<std::uint64_t>{1, 1, 2, 2, 3});
  const auto records = d.commit();
  REQUIRE(records.size() == 3);
  CHECK(records[1].groups.at(0).dead.at(0).offset == at(2));
  CHECK(d.view().dead_held == 5);
}

TEST_CASE("an attempt that is recorded already changes nothing", "[delivery]") {
  depot d;
  d.create("g");
  d.publish(2);
  const delivery_record second{{{"g", {}, {{at(0), 2}}, {failed_at(0, 2, "second")}, {}}}};
  d.rules.apply(second, {}, d.now);
  const auto once = d.snapshot();
  d.rules.apply({{{"g", {}, {{at(0), 1}}, {failed_at(0, 1)}, {}}}}, {}, d.now);
  d.rules.apply(second, {}, d.now);
  CHECK(d.snapshot() == once);
  d.rules.apply({{{"g", {range(0, 1)}, {}, {}, {}}}}, {}, d.now);
  d.rules.apply({{{"g", {}, {{at(0), 3}}, {}, {dead_at(0)}}}}, {}, d.now);
  CHECK(d.snapshot().groups.at(0).attempts.empty());
  CHECK(d.view().counts.dead == 0);
  CHECK(d.view().counts.acked == 1);
}

TEST_CASE("an entry of an earlier leader that commits late takes its messages along",
          "[delivery]") {
  depot d;
  d.create("g");
  d.publish(6);
  d.join(ann, "g", 4);
  d.turn(); // 0 to 3 are out
  d.nack(ann, 0);
  d.nack(ann, 1);
  d.commit();
  d.pass(1s); // 0 and 1 are due
  d.nack(ann, 2);
  d.rules.leave(ann, leaving::closed, d.now);
  d.commit(); // 2 waits, 3 is ready again, 4 and 5 were never out
  SECTION("when it settles them") {
    d.rules.apply({{{"g", {range(0, 4)}, {}, {}, {dead_at(4)}}}}, {}, d.now);
    CHECK(d.view().delayed == 0);
    d.join(bob);
    CHECK(offsets_of(d.turn()) == ranges{range(5, 6)});
  }
  SECTION("when it says that they failed") {
    delivery_record late{{{"g", {}, {}, {}, {}}}};
    for (const std::uint64_t o : {0, 2, 3, 4}) {
      auto what = failed_at(o, 2);
      what.not_before = d.now.wall + 5s;
      late.groups[0].failed.push_back(what);
    }
    d.rules.apply(late, {}, d.now);
    CHECK(d.rules.out().at(0).delayed == ranges{range(0, 1), range(2, 5)});
    d.join(bob);
    CHECK(offsets_of(d.turn()) == ranges{range(1, 2), range(5, 6)});
    d.pass(5s);
    CHECK(d.turn() == std::vector<delivery_order>{
                          {bob, at(0), 3}, {bob, at(2), 3}, {bob, at(3), 3}, {bob, at(4), 3}});
  }
  SECTION("when they are out here") {
    d.join(bob);
    REQUIRE(offsets_of(d.turn()) == ranges{range(0, 2), range(3, 6)});
    d.rules.apply({{{"g", {range(4, 6)}, {}, {}, {}}}}, {}, d.now);
    CHECK(d.ack(bob, {range(3, 6)}).lost == ranges{range(4, 6)});
    CHECK(d.view().leased == 3);
  }
  CHECK(balances(d.view()));
}

} // namespace waybill::bench
