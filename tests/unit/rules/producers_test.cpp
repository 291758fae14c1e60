// The rules of producers: a batch is taken once, a repeat gets the first one's receipt, and who was
// fenced stays out.
#include "tests/unit/rules/producers_scene.hpp"

namespace waybill::test {
namespace {

constexpr auto last_text = "last one of it in this partition is ";

TEST_CASE("a batch is taken once, and its repeats get the first one's receipt", "[producers]") {
  scene s;
  const auto opened = s.open("loader");
  REQUIRE(std::holds_alternative<take_it>(s.publish("loader", opened, 1, 0, 11)));
  SECTION("a repeat of what is in the log waits for that entry") {
    const auto verdict = s.publish("loader", opened, 1, 0, 11);
    REQUIRE(std::holds_alternative<already_appended>(verdict));
    CHECK(std::get<already_appended>(verdict).entry == s.log.back().at.index);
  }
  SECTION("a repeat of what is committed is answered") {
    s.commit_all();
    const auto verdict = s.publish("loader", opened, 1, 0, 11);
    REQUIRE(std::holds_alternative<already_committed>(verdict));
    const auto& as = std::get<already_committed>(verdict).as;
    CHECK(as == remembered_batch{batch_number{1}, hash128{11, 7}, s.committed.back().at,
                                 message_offset{0}, 2});
  }
  SECTION("a repeat is judged by number and bytes, whatever it says came before it") {
    REQUIRE(std::holds_alternative<take_it>(s.publish("loader", opened, 5, 1, 15)));
    s.commit_all();
    CHECK(std::holds_alternative<already_committed>(s.publish("loader", opened, 5, 4, 15)));
    CHECK(s.rules.last("loader") == last_batch{batch_number{5}, 2});
  }
}

TEST_CASE("a number that stands for other bytes already is refused", "[producers]") {
  scene s;
  const auto opened = s.open("loader");
  REQUIRE(std::holds_alternative<take_it>(s.publish("loader", opened, 1, 0, 11)));
  CHECK(code_of(s.publish("loader", opened, 1, 0, 12)) == ec::number_reused);
  s.commit_all();
  CHECK(code_of(s.publish("loader", opened, 1, 0, 12)) == ec::number_reused);
  CHECK(std::holds_alternative<already_committed>(s.publish("loader", opened, 1, 0, 11)));
}

TEST_CASE("a batch whose predecessor is missing is refused, and told the last number",
          "[producers]") {
  scene s;
  const auto opened = s.open("loader");
  (void)s.send("loader", opened, 4, 14);
  REQUIRE(std::holds_alternative<take_it>(s.publish("loader", opened, 7, 4, 17)));
  for (const std::uint64_t previous : {0, 4, 6, 8}) {
    const auto verdict = s.publish("loader", opened, 9, previous, 19);
    REQUIRE(code_of(verdict) == ec::out_of_order);
    CHECK(std::get<failure>(verdict).detail.find(std::string{last_text} + "7") !=
          std::string::npos);
  }
  CHECK(s.rules.last_number("loader") == batch_number{7});
  CHECK(s.rules.last("loader") == last_batch{batch_number{7}, 0}); // it is not committed yet
  CHECK(std::holds_alternative<take_it>(s.publish("loader", opened, 9, 7, 19)));
}

TEST_CASE("a claim is judged by its numbers, then its producer, then its opening", "[producers]") {
  scene s;
  CHECK(code_of(s.publish("nobody", producer_epoch{1}, 0, 0, 1)) == ec::bad_argument);
  CHECK(code_of(s.publish("nobody", producer_epoch{1}, 3, 3, 1)) == ec::bad_argument);
  CHECK(code_of(s.publish("nobody", producer_epoch{1}, 1, 0, 1)) == ec::unknown_producer);
  CHECK(s.rules.last_number("nobody") == batch_number{});
  CHECK(s.rules.last("nobody") == last_batch{});
  const auto first = s.open("loader");
  const auto second = s.open("loader");
  REQUIRE(second > first);
  (void)s.send("loader", second, 1, 11);
  CHECK(code_of(s.publish("loader", first, 0, 0, 1)) == ec::bad_argument);
  CHECK(code_of(s.publish("loader", first, 1, 0, 11)) == ec::fenced);
  CHECK(code_of(s.publish("loader", first, 9, 5, 11)) == ec::fenced);
  CHECK(code_of(s.publish("loader", producer_epoch{second.value + 1}, 2, 1, 12)) ==
        ec::unknown_producer);
}

TEST_CASE("an opening fences the one before from the moment it is in the log", "[producers]") {
  scene s;
  const auto first = s.open("loader", 1);
  REQUIRE(std::holds_alternative<take_it>(s.publish("loader", first, 1, 0, 11)));
  const auto verdict = s.try_open("loader", 2, true);
  const auto second = std::get<append_opening>(verdict).record.opened;
  CHECK(code_of(s.publish("loader", first, 2, 1, 12)) == ec::fenced);
  SECTION("what the fenced one had in the log before is recorded, and its repeats answered") {
    REQUIRE(std::holds_alternative<already_appended>(s.publish("loader", second, 1, 0, 11)));
    s.commit_all();
    CHECK(std::holds_alternative<already_committed>(s.publish("loader", second, 1, 0, 11)));
    CHECK(s.rules.last_number("loader") == batch_number{1});
  }
  SECTION("a batch applied behind the opening that fenced it is recorded, and unfences nobody") {
    s.commit_all();
    s.rules.apply({"loader", first, batch_number{2}, batch_number{1}, hash128{12, 7}},
                  {log_index{90}, epoch{1}, {}}, message_offset{2}, 2, s.now);
    CHECK(std::holds_alternative<already_committed>(s.publish("loader", second, 2, 1, 12)));
    CHECK(code_of(s.publish("loader", first, 3, 2, 13)) == ec::fenced);
  }
}

TEST_CASE("a producer that restarts and sends again gets the receipts of its former life",
          "[producers]") {
  scene s;
  const auto before = s.open("loader", 1);
  const auto receipt = s.send("loader", before, 1, 11).at;
  REQUIRE(std::holds_alternative<take_it>(s.publish("loader", before, 2, 1, 12)));
  const auto after = s.open("loader", 2);
  CHECK(s.rules.last_number("loader") == batch_number{2});
  for (const std::uint64_t number : {1, 2}) {
    const auto verdict = s.publish("loader", after, number, number - 1, 10 + number);
    REQUIRE(std::holds_alternative<already_committed>(verdict));
    if (number == 1)
      CHECK(std::get<already_committed>(verdict).as.entry == receipt);
  }
  CHECK(code_of(s.publish("loader", after, 2, 1, 99)) == ec::number_reused);
}

TEST_CASE("what is older than the remembered batches is never taken as new", "[producers]") {
  scene s{{.producers_max = 10, .remembered_batches = 3}};
  const auto opened = s.open("loader");
  for (std::uint64_t number = 1; number <= 5; ++number)
    (void)s.send("loader", opened, number * 2, number);
  CHECK(code_of(s.publish("loader", opened, 4, 2, 2)) == ec::too_old_to_know);
  CHECK(std::holds_alternative<already_committed>(s.publish("loader", opened, 6, 4, 3)));
  CHECK(std::holds_alternative<already_committed>(s.publish("loader", opened, 10, 8, 5)));
  CHECK(code_of(s.publish("loader", opened, 7, 6, 4)) == ec::too_old_to_know); // was never sent
  CHECK(snapshot_of(s.rules, s.committed_index()).producers.at(0).batches.size() == 3);
}

// ---- openings ----------------------------------------------------------------------------------

TEST_CASE("only the holder reconnects; whoever takes over becomes the holder", "[producers]") {
  scene s;
  CHECK(code_of(s.try_open("loader", 5, false)) == ec::unknown_producer);
  CHECK(code_of(s.try_open("loader", 0, true)) == ec::bad_argument);
  const auto first = s.open("loader", 5);
  const auto again = s.try_open("loader", 5, false);
  REQUIRE(std::holds_alternative<still_holder>(again));
  CHECK(std::get<still_holder>(again).opened == first);
  CHECK(s.log.empty());
  CHECK(code_of(s.try_open("loader", 6, false)) == ec::fenced);
  const auto second = s.open("loader", 6);
  CHECK(second > first);
  CHECK(code_of(s.try_open("loader", 5, false)) == ec::fenced);
  const auto third = s.open("loader", 6); // the same process, opening it anew
  CHECK(third > second);
}

TEST_CASE("an opening's number is not told before it is committed", "[producers]") {
  scene s;
  (void)s.open("loader", 5);
  const auto taken = s.try_open("loader", 6, true);
  CHECK(code_of(s.try_open("loader", 5, false)) == ec::fenced);
  const auto again = s.try_open("loader", 6, false);
  REQUIRE(std::holds_alternative<append_opening>(again));
  CHECK(std::get<append_opening>(again).record.opened >
        std::get<append_opening>(taken).record.opened);
  s.commit_all();
  const auto now = s.try_open("loader", 6, false);
  REQUIRE(std::holds_alternative<still_holder>(now));
  CHECK(std::get<still_holder>(now).opened == std::get<append_opening>(again).record.opened);
}

TEST_CASE("an opening keeps what its producer has sent", "[producers]") {
  scene s;
  const auto opened = s.open("loader", 1);
  (void)s.send("loader", opened, 3, 11);
  const auto other = s.open("other", 1);
  CHECK(s.rules.last_number("other") == batch_number{});
  CHECK(code_of(s.publish("other", other, 4, 3, 12)) == ec::out_of_order);
  (void)s.open("loader", 2);
  CHECK(s.rules.last_number("loader") == batch_number{3});
}

// ---- bounds ------------------------------------------------------------------------------------

TEST_CASE("beyond the most producers the one unused for longest is forgotten", "[producers]") {
  scene s{{.producers_max = 3}};
  std::map<std::string, producer_epoch> opened;
  for (const std::string name : {"a", "b", "c"}) {
    s.now += milliseconds{10};
    opened[name] = s.open(name);
  }
  s.now += milliseconds{10};
  (void)s.send("a", opened["a"], 1, 11);
  s.now += milliseconds{10};
  (void)s.open("d");
  CHECK(snapshot_of(s.rules, s.committed_index()).producers.size() == 3);
  CHECK(code_of(s.publish("b", opened["b"], 1, 0, 1)) == ec::unknown_producer);
  CHECK(code_of(s.try_open("b", 1, false)) == ec::unknown_producer);
  CHECK(std::holds_alternative<already_committed>(s.publish("a", opened["a"], 1, 0, 11)));
  CHECK(std::holds_alternative<take_it>(s.publish("c", opened["c"], 1, 0, 1)));
}

TEST_CASE("who was just opened is not the one to be forgotten", "[producers]") {
  scene s{{.producers_max = 1}};
  (void)s.open("b"); // at the same moment, and behind it by name
  const auto opened = s.open("a");
  CHECK(std::holds_alternative<take_it>(s.publish("a", opened, 1, 0, 1)));
  CHECK(code_of(s.try_open("b", 1, false)) == ec::unknown_producer);
}

TEST_CASE("a producer is forgotten by the stamps of entries, once it is unused for too long",
          "[producers]") {
  scene s{{.producers_max = 10, .remembered_batches = 10, .age_max = milliseconds{1'000}}};
  const auto old = s.open("old");
  s.now += milliseconds{1'000};
  (void)s.open("other");
  CHECK(std::holds_alternative<still_holder>(s.try_open("old", 1, false))); // exactly so long
  (void)s.send("old", old, 1, 11);
  s.now += milliseconds{1'001};
  CHECK(std::holds_alternative<still_holder>(s.try_open("old", 1, false))); // no entry came since
  (void)s.open("third");
  CHECK(code_of(s.publish("old", old, 2, 1, 12)) == ec::unknown_producer);
  const auto& left = snapshot_of(s.rules, s.committed_index()).producers;
  REQUIRE(left.size() == 1);
  CHECK(left.front().producer == "third");
}

TEST_CASE("a forgotten producer begins anew when it is opened, and is stopped in mid-series",
          "[producers]") {
  scene s{{.producers_max = 1}};
  const auto old = s.open("loader");
  (void)s.send("loader", old, 1, 11);
  (void)s.send("loader", old, 2, 12);
  (void)s.open("other");
  CHECK(code_of(s.publish("loader", old, 3, 2, 13)) == ec::unknown_producer);
  CHECK(s.rules.last_number("loader") == batch_number{});
  const auto anew = s.open("loader");
  CHECK(anew > old);
  CHECK(code_of(s.publish("loader", old, 1, 0, 11)) == ec::fenced);
  CHECK(code_of(s.publish("loader", anew, 3, 2, 13)) == ec::out_of_order);
  CHECK(code_of(s.publish("loader", anew, 2, 1, 12)) == ec::out_of_order);
  CHECK(std::holds_alternative<take_it>(s.publish("loader", anew, 1, 0, 11)));
}

TEST_CASE("a batch in the log survives that its producer is forgotten meanwhile", "[producers]") {
  scene s{{.producers_max = 1}};
  const auto opened = s.open("loader", 5);
  (void)s.send("loader", opened, 1, 11);
  (void)s.try_open("other", 1, true);
  REQUIRE(std::holds_alternative<take_it>(s.publish("loader", opened, 2, 1, 12)));
  (void)s.commit_one();
  CHECK(std::holds_alternative<already_appended>(s.publish("loader", opened, 2, 1, 12)));
  CHECK(code_of(s.publish("loader", opened, 1, 0, 11)) == ec::too_old_to_know);
  CHECK(std::holds_alternative<take_it>(s.publish("loader", opened, 3, 2, 13)));
  s.commit_all();
  CHECK(s.rules.last_number("loader") == batch_number{3});
  CHECK(std::holds_alternative<already_committed>(s.publish("loader", opened, 2, 1, 12)));
  CHECK(code_of(s.try_open("loader", 5, false)) == ec::fenced); // its holder is not known any more
  CHECK(snapshot_of(s.rules, s.committed_index()).producers.size() == 1);
}

TEST_CASE("an opening's number comes once, also after forgetting and a restart", "[producers]") {
  const producer_limits limits{.producers_max = 1};
  scene before{limits};
  const auto old = before.open("loader");
  for (int i = 0; i < 5; ++i)
    (void)before.open("other");
  // The checkpoint knows nothing of the loader but how far the log goes.
  scene after{limits, snapshot_of(before.rules, before.committed_index()),
              before.committed_index().value + 1};
  const auto anew = after.open("loader");
  CHECK(anew > old);
  CHECK(anew.value <= after.committed_index().value);
  CHECK(code_of(after.publish("loader", old, 1, 0, 1)) == ec::fenced);
}

TEST_CASE("an opening's number is above the checkpoint's index and all openings applied",
          "[producers]") {
  partition_snapshot from;
  from.at.index = log_index{50};
  const producer_limits limits{.producers_max = 1};
  scene restarted{limits, from, 51};
  CHECK(restarted.open("loader") == producer_epoch{51});
  producers replica{limits, {}};
  replica.apply({"loader", producer_epoch{30}, 1}, wall_time{});
  replica.apply({"loader", producer_epoch{20}, 2}, wall_time{}); // changes no holder
  CHECK(std::holds_alternative<still_holder>(replica.judge_opening("loader", 1, false)));
  replica.apply({"other", producer_epoch{31}, 1}, wall_time{});
  const batch_claim late{"loader", producer_epoch{30}, batch_number{1}, {}, {1, 1}};
  replica.apply(late, {log_index{40}, epoch{1}, {}}, message_offset{0}, 1, wall_time{});
  const auto verdict = replica.judge_opening("loader", 1, true); // the other one is forgotten
  CHECK(std::get<append_opening>(verdict).record.opened == producer_epoch{32});
}

TEST_CASE("a snapshot holds the producers and nothing that was in it before", "[producers]") {
  scene s;
  (void)s.open("loader");
  partition_snapshot into;
  into.producers.resize(3);
  s.rules.snapshot(into);
  REQUIRE(into.producers.size() == 1);
  CHECK(into.producers[0].producer == "loader");
}

TEST_CASE("a repeat of a number that is remembered already keeps the first one's receipt",
          "[producers]") {
  producers rules{producer_limits{}, {}};
  const batch_claim claim{"loader", producer_epoch{1}, batch_number{4}, batch_number{}, {1, 1}};
  rules.apply(claim, {log_index{2}, epoch{1}, {2, 2}}, message_offset{0}, 3, wall_time{});
  rules.apply(claim, {log_index{3}, epoch{1}, {3, 3}}, message_offset{3}, 3, wall_time{});
  const batch_claim earlier{"loader", producer_epoch{1}, batch_number{2}, batch_number{}, {9, 9}};
  rules.apply(earlier, {log_index{4}, epoch{1}, {4, 4}}, message_offset{6}, 3, wall_time{});
  const auto verdict = rules.judge(claim);
  REQUIRE(std::holds_alternative<already_committed>(verdict));
  CHECK(std::get<already_committed>(verdict).as.entry.index == log_index{2});
  CHECK(std::holds_alternative<already_committed>(rules.judge(earlier)));
  CHECK(rules.last_number("loader") == batch_number{4});
}

} // namespace
} // namespace waybill::test
