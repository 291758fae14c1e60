// What a topic's retention comes to in one partition: told first, never too early, few marks.
#include "actors/rules/retention.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <random>

namespace waybill {
namespace {

using namespace std::chrono_literals;

constexpr wall_time morning{1'700'000'000s};

/// A partition that gets messages one entry at a time.
struct partition {
  class retention rules {
    partition_snapshot {}
  };
  retention_settings settings;
  std::optional<message_offset> kept_from;
  message_offset next, dropped_below;
  wall_time now = morning;

  void publish(std::uint64_t bytes, std::uint32_t messages = 1) {
    entry e;
    e.kind = entry_kind::messages;
    e.first_offset = next;
    e.message_count = messages;
    e.stamped = now;
    e.body = shared_bytes{std::string(bytes - entry_header_bytes, 'x')};
    rules.arrived(e);
    next = offsets_of(e).end;
  }
  retention::outlook look() {
    const auto seen = rules.look(settings, kept_from, now);
    if (seen.change) {
      dropped_below = seen.change->dropped_below;
      if (!seen.change->kept_from)
        kept_from.reset();
      else
        kept_from = kept_from ? *seen.change->kept_from : next;
    }
    return seen;
  }
};

message_offset at(std::uint64_t offset) { return message_offset{offset}; }

} // namespace

TEST_CASE("without settings nothing goes and nothing is kept", "[retention]") {
  partition p;
  p.publish(1'000);
  p.now += 1'000'000h;
  for (int i = 0; i < 3; ++i) {
    const auto seen = p.look();
    CHECK_FALSE(seen.change);
    CHECK(seen.endangered_below == at(0));
  }
}

TEST_CASE("a message goes by its age, after people were told", "[retention]") {
  partition p;
  p.settings.age = 100min;
  p.publish(1'000);
  p.now += 60min;
  p.publish(1'000);
  p.now += 19min;
  CHECK(p.look().endangered_below == at(0));
  p.now += 1min;
  auto seen = p.look(); // four fifths of the age are over
  CHECK(seen.endangered_below == at(1));
  CHECK_FALSE(seen.change);
  p.now += 19min;
  CHECK_FALSE(p.look().change);
  p.now += 1min;
  CHECK(p.look().change == retention_record{at(1), {}});
  CHECK_FALSE(p.look().change);
  SECTION("also the last ones, when nothing comes any more") {
    p.now += 40min;
    CHECK(p.look().endangered_below == at(2));
    CHECK_FALSE(p.look().change);
    p.now += 20min;
    CHECK(p.look().change == retention_record{at(2), {}});
  }
}

TEST_CASE("what is over already when the settings come is told of before it goes", "[retention]") {
  partition p;
  p.publish(1'000);
  p.now += 24h;
  p.settings.age = 1h;
  const auto first = p.look();
  CHECK(first.endangered_below == at(1));
  CHECK_FALSE(first.change);
  CHECK(p.look().change == retention_record{at(1), {}});
}

TEST_CASE("with other settings people are told anew", "[retention]") {
  partition p;
  p.publish(1'000);
  p.now += 24h;
  p.settings.age = 1h;
  CHECK(p.look().endangered_below == at(1));
  CHECK(p.rules.warned_below() == at(1));
  p.rules.forget_warning();
  CHECK_FALSE(p.look().change);
  CHECK(p.look().change == retention_record{at(1), {}});
  p.rules.forget_warning();
  CHECK(p.rules.warned_below() == at(1)); // it has gone
}

TEST_CASE("a message goes when so much was published behind it", "[retention]") {
  partition p;
  p.settings.bytes = 10 << 20;
  for (int i = 0; i < 8; ++i)
    p.publish(1 << 20);
  CHECK(p.look().endangered_below == at(0));
  p.publish(1 << 20);
  CHECK(p.look().endangered_below == at(1));
  p.publish(1 << 20);
  CHECK_FALSE(p.look().change);
  p.publish(1 << 20);
  CHECK(p.look().change == retention_record{at(1), {}});
}

TEST_CASE("what is settled stays for its time, from the moment on when that is asked for",
          "[retention]") {
  partition p;
  p.publish(1'000);
  p.settings.keep = 10min;
  REQUIRE(p.look().change);
  CHECK(p.kept_from == at(1));
  CHECK_FALSE(p.look().change);
  p.publish(1'000);
  p.now += 5min;
  p.publish(1'000);
  p.now += 5min;
  CHECK(p.look().change == retention_record{at(0), at(2)});
  p.now += 5min;
  CHECK(p.look().change == retention_record{at(0), at(3)});
  p.settings.keep = 0min;
  CHECK(p.look().change == retention_record{at(0), {}});
  CHECK_FALSE(p.look().change);
}

TEST_CASE("what a checkpoint holds is all that is known", "[retention]") {
  partition p;
  p.settings.age = 1h;
  for (int i = 0; i < 30; ++i) {
    p.publish(1'000);
    p.now += 1min;
  }
  partition_snapshot state;
  p.rules.snapshot(state);
  retention restored{state};
  p.now += 45min;
  for (int i = 0; i < 2; ++i) {
    const auto one = p.rules.look(p.settings, {}, p.now);
    const auto other = restored.look(p.settings, {}, p.now);
    CHECK(one.endangered_below == other.endangered_below);
    CHECK(one.change == other.change);
  }
  CHECK(p.rules.look(p.settings, {}, p.now + 1min).change == retention_record{at(17), {}});
}

TEST_CASE("a log that was begun before marks were made counts from its next entry on",
          "[retention]") {
  partition p;
  p.next = at(1'000);
  p.settings.age = 1h;
  p.publish(1'000);
  p.look();
  CHECK_FALSE(p.look().change);
  p.now += 1h;
  p.look();
  CHECK(p.look().change == retention_record{at(1'001), {}});
}

TEST_CASE("settings that contradict each other are refused", "[retention]") {
  CHECK_FALSE(objection_to(retention_settings{}));
  CHECK_FALSE(objection_to({.keep = 1h, .age = 1h}));
  CHECK(objection_to({.keep = 2h, .age = 1h}));
  CHECK(objection_to({.keep = -1ms}));
  CHECK(objection_to({.age = 1'000'000h}));
}

/// Against every single entry, remembered.
TEST_CASE("a boundary is never too early, and little too late, with few marks", "[retention]") {
  const std::uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  const auto below = [&](std::uint64_t n) { return random() % n; };
  for (int round = 0; round < 30; ++round) {
    struct remembered {
      message_offset end;
      std::uint64_t bytes_after = 0; ///< up to its own end
      wall_time stamped;
    };
    std::deque<remembered> all;
    partition p;
    const auto pause = std::uint64_t{1} << below(22); // ms
    const auto size = std::uint64_t{1} << (8 + below(13));
    std::uint64_t total = 0;
    for (int i = 0; i < 3'000; ++i) {
      p.now += milliseconds{below(pause)};
      const auto bytes = entry_header_bytes + below(size);
      p.publish(bytes, static_cast<std::uint32_t>(1 + below(5)));
      total += bytes;
      all.push_back({p.next, total, p.now});
      if (below(200) == 0)
        p.rules.trim(at(p.next.value - below(p.next.value)));
    }
    const auto passed = p.now - all.front().stamped;
    p.settings.age = milliseconds{1 + below(static_cast<std::uint64_t>(passed.count()) + 1)};
    if (below(2) == 0)
      p.settings = {.bytes = 1 + below(total)};
    p.look();
    const auto seen = p.look();
    partition_snapshot state;
    p.rules.snapshot(state);
    REQUIRE(state.marks.size() <= retention::marks_max);
    const auto gone = seen.change ? seen.change->dropped_below : at(0);
    for (const auto& each : all) {
      const bool is_over = (p.settings.age > 0ms && each.stamped <= p.now - p.settings.age) ||
                           (p.settings.bytes > 0 && total - each.bytes_after >= p.settings.bytes);
      if (each.end <= gone)
        REQUIRE(is_over);
      // What is over by more than a twentieth of all that there is goes, unless it was trimmed.
      const bool long_over =
          (p.settings.age > 0ms && each.stamped + passed / 20 + 2s <= p.now - p.settings.age) ||
          (p.settings.bytes > 0 &&
           total - each.bytes_after >= p.settings.bytes + total / 20 + (2 << 20));
      if (long_over && !state.marks.empty() && each.end > state.marks.front().offset)
        REQUIRE(each.end <= gone);
    }
  }
}

} // namespace waybill
