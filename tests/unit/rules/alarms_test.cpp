// What people are told, and when it is over.
#include "actors/rules/alarm_book.hpp"
#include "actors/rules/group_watch.hpp"

#include <catch2/catch.hpp>

using namespace waybill;
using namespace std::chrono_literals;

namespace {

moment at(milliseconds steady) { return {steady, wall_time{1'000'000ms + steady}}; }

alarm_report report(const std::string& name, const std::string& subject, bool raised = true) {
  return {name, subject, alarm_level::warning, "it is so", raised};
}

std::vector<std::string> names(const std::vector<alarm_report>& told) {
  std::vector<std::string> result;
  for (const auto& each : told)
    result.push_back((each.raised ? "" : "over ") + each.name + " " + each.subject);
  return result;
}
using words = std::vector<std::string>;

} // namespace

TEST_CASE("the same alarm twice is told once, and keeps the time of the first", "[alarms]") {
  alarm_book book{{}};
  const auto first = book.take(report("disk-full", "disk"), at(1s));
  REQUIRE(names(first) == words{"disk-full disk"});
  CHECK(first[0].number == 1);
  CHECK_FALSE(first[0].advice.empty());
  CHECK(book.take(report("disk-full", "disk"), at(2s)).empty());
  REQUIRE(book.raised().size() == 1);
  CHECK(book.raised()[0].since == at(1s).wall);
  const auto over = book.take(report("disk-full", "disk", false), at(3s));
  REQUIRE(names(over) == words{"over disk-full disk"});
  CHECK(over[0].since == at(1s).wall);
  CHECK(over[0].at == at(3s).wall);
  CHECK(book.raised().empty());
  CHECK(book.take(report("disk-full", "disk", false), at(4s)).empty());
}

TEST_CASE("who follows gets every change once, and is told how many are forgotten", "[alarms]") {
  alarm_book book{{}};
  CHECK(book.news_after(0).changes.empty());
  (void)book.take(report("limit-near", "a"), at(1s));
  (void)book.take(report("limit-near", "b"), at(2s));
  auto news = book.news_after(1);
  CHECK(names(news.changes) == words{"limit-near b"});
  CHECK(names(news.raised) == words{"limit-near a", "limit-near b"});
  CHECK(news.last == 2);
  CHECK(news.missed == 0);
  for (std::size_t i = 0; i < alarm_news_max; ++i)
    (void)book.take(report("limit-near", "a", i % 2 == 1), at(3s));
  news = book.news_after(1);
  CHECK(news.changes.size() == alarm_news_max);
  CHECK(news.last == alarm_news_max + 2);
  CHECK(news.missed == 1);
}

TEST_CASE("a part that is started again and again is an alarm of its own", "[alarms]") {
  alarm_book book{{.restarts_within = 60s, .restarts_alarm = 2}};
  const auto restart = [&](const std::string& subject, milliseconds when) {
    auto told = book.take(report("actor-restarted", subject), at(when));
    const auto over = book.take(report("actor-restarted", subject, false), at(when));
    told.insert(told.end(), over.begin(), over.end());
    return names(told);
  };
  CHECK(restart("reader", 0s) == words{"actor-restarted reader", "over actor-restarted reader"});
  CHECK(restart("reader", 10s).size() == 2);
  CHECK(restart("writer", 11s).size() == 2);
  CHECK(restart("reader", 61s).size() == 2); // the first lies further back than the span
  CHECK(restart("reader", 62s) ==
        words{"actor-restarted reader", "restarts-often reader", "over actor-restarted reader"});
  CHECK(restart("reader", 63s).size() == 2); // it is told already
  CHECK(names(book.raised()) == words{"restarts-often reader"});
  REQUIRE(book.next_tick());
  CHECK(book.tick(at(123s)).empty());
  CHECK(names(book.tick(at(123s + 1ms))) == words{"over restarts-often reader"});
  CHECK(book.raised().empty());
  CHECK_FALSE(book.next_tick());
}

TEST_CASE("every alarm of the table has its own name, and says what to do", "[alarms]") {
  for (const auto& each : alarm_kinds()) {
    INFO(each.name);
    CHECK(find_alarm_kind(each.name) == &each);
    CHECK(each.advice.ends_with("."));
    CHECK(each.means.ends_with("."));
  }
  CHECK(find_alarm_kind("nonsense") == nullptr);
}

TEST_CASE("a group is stuck when messages are due and none is settled for so long", "[alarms]") {
  stuck_watch group{10s};
  CHECK_FALSE(group.look({.settled = 0, .unsettled = 0, .due = 0}, 0s));
  CHECK_FALSE(group.next()); // nothing waits: nothing to look at
  CHECK_FALSE(group.look({.settled = 0, .unsettled = 5, .due = 5}, 20s));
  CHECK(group.next() == 30s);
  CHECK_FALSE(group.look({.settled = 0, .unsettled = 9, .due = 9}, 30s - 1ms));
  CHECK(group.look({.settled = 0, .unsettled = 9, .due = 9}, 30s));
  CHECK(group.is_stuck());
  CHECK(group.since() == 20s);
  CHECK_FALSE(group.look({.settled = 0, .unsettled = 9, .due = 9}, 40s)); // told once
  SECTION("until one is settled") {
    CHECK(group.look({.settled = 1, .unsettled = 8, .due = 8}, 41s));
    CHECK_FALSE(group.is_stuck());
    CHECK(group.next() == 51s);
  }
  SECTION("until none is due") {
    CHECK(group.look({.settled = 0, .unsettled = 9, .due = 0}, 41s));
    CHECK_FALSE(group.is_stuck());
    CHECK(group.next() == 41s + 2'500ms); // they may become due without a word
  }
}

TEST_CASE("messages that wait for their time make no group stuck", "[alarms]") {
  stuck_watch group{10s};
  for (auto now = 0s; now < 100s; now += 1s)
    CHECK_FALSE(group.look({.settled = 0, .unsettled = 3, .due = 0}, now));
  stuck_watch never{0s};
  CHECK_FALSE(never.look({.settled = 0, .unsettled = 3, .due = 3}, 0s));
  CHECK_FALSE(never.look({.settled = 0, .unsettled = 3, .due = 3}, 1'000'000s));
  CHECK_FALSE(never.next());
}

TEST_CASE("dead letters grow from the last look, or from the fewest since then", "[alarms]") {
  growth_watch letters{10};
  CHECK_FALSE(letters.look(9));
  CHECK(letters.look(10));
  CHECK(letters.more() == 10);
  CHECK_FALSE(letters.look(8)); // it wavers
  CHECK_FALSE(letters.look(12));
  SECTION("until somebody looks") {
    CHECK(letters.looked(12));
    CHECK_FALSE(letters.is_growing());
    CHECK_FALSE(letters.look(21));
    CHECK(letters.look(22));
  }
  SECTION("until most of the new ones are gone") {
    CHECK(letters.look(6));
    CHECK_FALSE(letters.is_growing());
  }
  SECTION("and what is sent back counts no longer") {
    CHECK(letters.looked(100));
    CHECK_FALSE(letters.look(5));
    CHECK_FALSE(letters.look(14));
    CHECK(letters.look(15));
  }
}
