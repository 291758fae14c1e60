// The rules of replication: nothing is committed that a counted member lacks, and a follower never
// drops what is committed or what already matches.
#include "actors/rules/replication.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace waybill::test {
namespace {

const replica_name leader{1, copy_id{11}}, near{2, copy_id{22}}, far{3, copy_id{33}};

log_position at(std::uint64_t index, std::uint64_t written, std::uint64_t hash) {
  return {log_index{index}, epoch{written}, hash128{hash, hash}};
}

// ---- commit_rule -------------------------------------------------------------------------------

/// Epoch 5, whose start entry is 8, in a log of which 4 is known committed.
commit_rule rule_of(std::vector<replica_name> in_sync, std::size_t min_in_sync) {
  return commit_rule{{.min_in_sync = min_in_sync,
                      .leading = epoch{5},
                      .self = leader,
                      .in_sync = std::move(in_sync),
                      .start = log_index{8},
                      .committed = log_index{4}}};
}
void append(commit_rule& rule, std::uint64_t first, std::uint64_t last) {
  for (auto index = first; index <= last; ++index)
    rule.appended(at(index, 5, index));
}

TEST_CASE("one member alone commits what its own sync covers", "[replication]") {
  auto rule = rule_of({leader}, 1);
  append(rule, 8, 12);
  CHECK(rule.committed() == log_index{4});
  CHECK(rule.stored(log_index{10}));
  CHECK(rule.committed() == log_index{10});
  CHECK(rule.stored(log_index{12}));
  CHECK(rule.committed() == log_index{12});
}

TEST_CASE("entries of earlier epochs commit only with one of this epoch behind them",
          "[replication]") {
  auto rule = rule_of({leader}, 1);
  CHECK_FALSE(rule.stored(log_index{7}));
  CHECK(rule.committed() == log_index{4});
  append(rule, 8, 8);
  CHECK_FALSE(rule.stored(log_index{7}));
  CHECK(rule.committed() == log_index{4});
  CHECK(rule.stored(log_index{8})); // and takes 5 to 7 along
  CHECK(rule.committed() == log_index{8});
}

TEST_CASE("nothing is committed that a member of the in-sync set lacks", "[replication]") {
  auto rule = rule_of({leader, near, far}, 2);
  append(rule, 8, 12);
  CHECK_FALSE(rule.stored(log_index{12}));
  CHECK_FALSE(rule.stored(near, epoch{5}, at(12, 5, 12)));
  CHECK(rule.committed() == log_index{4});
  CHECK(rule.stored(far, epoch{5}, at(10, 5, 10)));
  CHECK(rule.committed() == log_index{10});
  SECTION("an answer that was overtaken takes nothing back") {
    CHECK_FALSE(rule.stored(far, epoch{5}, at(9, 5, 9)));
    CHECK_FALSE(rule.stored(log_index{8}));
    CHECK(rule.committed() == log_index{10});
    CHECK(rule.stored(far, epoch{5}, at(11, 5, 11)));
    CHECK(rule.committed() == log_index{11});
  }
  SECTION("the leader's own disk counts as well") {
    append(rule, 13, 14);
    CHECK(rule.stored(far, epoch{5}, at(12, 5, 12)));
    CHECK_FALSE(rule.stored(far, epoch{5}, at(14, 5, 14)));
    CHECK_FALSE(rule.stored(near, epoch{5}, at(14, 5, 14)));
    CHECK(rule.committed() == log_index{12});
    CHECK(rule.stored(log_index{13}));
    CHECK(rule.committed() == log_index{13});
  }
}

TEST_CASE("what does not count changes nothing", "[replication]") {
  auto rule = rule_of({leader, near}, 2);
  append(rule, 8, 12);
  CHECK_FALSE(rule.stored(log_index{12}));
  SECTION("a stranger") { CHECK_FALSE(rule.stored(far, epoch{5}, at(12, 5, 12))); }
  SECTION("another copy on a member's node") {
    CHECK_FALSE(rule.stored({2, copy_id{99}}, epoch{5}, at(12, 5, 12)));
  }
  SECTION("another epoch") {
    CHECK_FALSE(rule.stored(near, epoch{4}, at(12, 5, 12)));
    CHECK_FALSE(rule.stored(near, epoch{6}, at(12, 5, 12)));
  }
  SECTION("a hash that the leader does not have there") {
    CHECK_FALSE(rule.stored(near, epoch{5}, at(12, 5, 13)));
    CHECK_FALSE(rule.stored(near, epoch{5}, at(12, 4, 12)));
  }
  SECTION("an entry that the leader does not have") {
    CHECK_FALSE(rule.stored(near, epoch{5}, at(13, 5, 13)));
  }
  SECTION("an entry before this epoch's first") {
    CHECK_FALSE(rule.stored(near, epoch{5}, at(7, 4, 7)));
  }
  CHECK(rule.committed() == log_index{4});
  CHECK(rule.stored(near, epoch{5}, at(12, 5, 12)));
  CHECK(rule.committed() == log_index{12});
}

TEST_CASE("an answer in the leader's own name is not a sync of the leader", "[replication]") {
  auto rule = rule_of({leader}, 1);
  append(rule, 8, 8);
  CHECK_FALSE(rule.stored(leader, epoch{5}, at(8, 5, 8)));
  CHECK(rule.committed() == log_index{4});
}

TEST_CASE("nothing commits while the set is smaller than the least", "[replication]") {
  auto rule = rule_of({leader, near}, 3);
  append(rule, 8, 9);
  CHECK_FALSE(rule.stored(log_index{9}));
  CHECK_FALSE(rule.stored(near, epoch{5}, at(9, 5, 9)));
  CHECK(rule.committed() == log_index{4});
}

TEST_CASE("in any order of answers exactly what all members have is committed", "[replication]") {
  const auto base = std::random_device{}();
  for (std::uint64_t i = 0; i < 500; ++i) {
    const std::uint64_t seed = base + i;
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    std::vector<replica_name> set{leader};
    const auto members = 1 + random() % 4;
    for (std::uint64_t m = 1; m < members; ++m)
      set.push_back({m + 1, copy_id{m}});
    const auto least = 1 + random() % members;
    auto rule = rule_of(set, least);
    std::uint64_t end = 7;
    std::map<replica_name, std::uint64_t> on_disk; // what each has truly said, in this epoch
    for (int step = 0; step < 200; ++step) {
      const auto before = rule.committed();
      bool moved = false;
      if (random() % 3 == 0) {
        ++end;
        append(rule, end, end);
      } else {
        const auto who = set[random() % set.size()];
        const auto index = random() % (end + 1);
        if (who == leader) {
          moved = rule.stored(log_index{index});
          on_disk[who] = std::max(on_disk[who], index);
        } else {
          const auto in = random() % 4 == 0 ? 4u : 5u;
          const auto hash = random() % 4 == 0 ? index + 1 : index;
          const auto beyond = random() % 8 == 0 ? end + 1 : index;
          moved = rule.stored(who, epoch{in}, at(beyond, 5, beyond == index ? hash : beyond));
          if (in == 5 && hash == index && beyond == index && index >= 8)
            on_disk[who] = std::max(on_disk[who], index);
        }
      }
      std::uint64_t everywhere = end;
      for (const auto& each : set)
        everywhere = std::min(everywhere, on_disk[each]);
      const auto expected = everywhere >= 8 ? everywhere : 4;
      REQUIRE(rule.committed() == log_index{expected});
      REQUIRE(moved == (rule.committed() > before));
    }
  }
}

// ---- match_entries -----------------------------------------------------------------------------

/// A follower's log and what it does with a message, as its shell does.
struct follower {
  std::vector<log_position> log; ///< index 1 first
  log_index committed;
  epoch promised{1};

  [[nodiscard]] log_position end() const { return log.empty() ? log_position{} : log.back(); }
  follower_verdict receive(epoch sender, const log_position& previous,
                           const std::vector<log_position>& entries) {
    const auto verdict =
        match_entries(promised, sender, previous, entries, end(), committed,
                      [this](log_index index) -> std::optional<log_position> {
                        if (index.value > log.size())
                          return std::nullopt;
                        return index == log_index{} ? log_position{} : log[index.value - 1];
                      });
    if (const auto* accepted = std::get_if<accept_entries>(&verdict)) {
      promised = sender;
      if (accepted->drop_after) {
        REQUIRE(accepted->drop_after->value < log.size());
        REQUIRE(*accepted->drop_after >= committed);
        log.resize(accepted->drop_after->value);
      }
      for (auto i = accepted->skip; i < entries.size(); ++i) {
        REQUIRE(entries[i].index.value == log.size() + 1);
        log.push_back(entries[i]);
      }
    }
    return verdict;
  }
};

const std::vector<log_position> five{at(1, 1, 1), at(2, 1, 2), at(3, 2, 3), at(4, 2, 4),
                                     at(5, 2, 5)};

TEST_CASE("an epoch lower than the promised one is refused", "[replication]") {
  follower f{five, log_index{2}, epoch{4}};
  const auto verdict = f.receive(epoch{3}, five[4], {at(6, 3, 6)});
  REQUIRE(std::holds_alternative<refuse_epoch>(verdict));
  CHECK(std::get<refuse_epoch>(verdict).promised == epoch{4});
  CHECK(f.log == five);
  CHECK(std::holds_alternative<accept_entries>(f.receive(epoch{4}, five[4], {at(6, 3, 6)})));
  CHECK(std::holds_alternative<accept_entries>(f.receive(epoch{5}, f.end(), {at(7, 5, 7)})));
}

TEST_CASE("a message that does not follow the log is answered with where the log ends",
          "[replication]") {
  follower f{five, log_index{2}, epoch{2}};
  const auto previous = GENERATE(at(6, 2, 6), at(5, 2, 99), at(5, 3, 5), at(3, 2, 99), at(0, 0, 1));
  const auto next = at(previous.index.value + 1, 3, 100);
  const auto verdict = f.receive(epoch{3}, previous, {next});
  REQUIRE(std::holds_alternative<ask_earlier>(verdict));
  CHECK(std::get<ask_earlier>(verdict).end == five[4]);
  CHECK(f.log == five);
}

TEST_CASE("the first entry follows the empty log", "[replication]") {
  follower f;
  const auto verdict = f.receive(epoch{1}, {}, {five[0], five[1]});
  REQUIRE(std::holds_alternative<accept_entries>(verdict));
  CHECK(std::get<accept_entries>(verdict).last == five[1]);
  CHECK(f.log.size() == 2);
  CHECK(std::holds_alternative<ask_earlier>(follower{}.receive(epoch{2}, five[0], {five[1]})));
}

TEST_CASE("a message that holds nothing new drops nothing", "[replication]") {
  follower f{five, log_index{2}, epoch{2}};
  SECTION("a repeated one answers with its own end") {
    const auto verdict = f.receive(epoch{3}, five[4], {});
    CHECK(std::get<accept_entries>(verdict).last == five[4]);
    const auto again = std::get<accept_entries>(f.receive(epoch{3}, five[1], {five[2], five[3]}));
    CHECK_FALSE(again.drop_after);
    CHECK(again.skip == 2);
    CHECK(again.last == five[3]);
  }
  SECTION("an old one from before the committed entries") {
    const auto old = std::get<accept_entries>(f.receive(epoch{3}, {}, {five[0]}));
    CHECK_FALSE(old.drop_after);
    CHECK(old.skip == 1);
    CHECK(old.last == five[0]);
  }
  SECTION("an empty one says what matched, not what lies behind it") {
    const auto empty = std::get<accept_entries>(f.receive(epoch{3}, five[2], {}));
    CHECK_FALSE(empty.drop_after);
    CHECK(empty.skip == 0);
    CHECK(empty.last == five[2]);
  }
  CHECK(f.log == five);
}

TEST_CASE("the log is dropped from the first entry that differs, and no earlier", "[replication]") {
  follower f{five, log_index{2}, epoch{2}};
  const std::vector<log_position> message{five[1], five[2], at(4, 3, 44), at(5, 3, 55)};
  const auto verdict = std::get<accept_entries>(f.receive(epoch{3}, five[0], message));
  CHECK(verdict.drop_after == log_index{3});
  CHECK(verdict.skip == 2);
  CHECK(verdict.last == at(5, 3, 55));
  CHECK(f.log == std::vector{five[0], five[1], five[2], at(4, 3, 44), at(5, 3, 55)});
}

TEST_CASE("entries behind the log's end drop nothing", "[replication]") {
  follower f{five, log_index{5}, epoch{2}};
  const auto verdict =
      std::get<accept_entries>(f.receive(epoch{3}, five[3], {five[4], at(6, 3, 6), at(7, 3, 7)}));
  CHECK_FALSE(verdict.drop_after);
  CHECK(verdict.skip == 1);
  CHECK(f.log.size() == 7);
}

/// Runs `what` in a process of its own. @returns whether an assertion ended it
template <class Function>
bool ends_the_process(Function what) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL); // not Catch2's handler, which would report a failure
    (void)std::freopen("/dev/null", "w", stderr);
    what();
    std::_Exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST_CASE("a message that contradicts what is committed ends the process, and drops nothing",
          "[replication]") {
  follower f{five, log_index{4}, epoch{2}};
  CHECK(ends_the_process([f]() mutable { f.receive(epoch{3}, five[2], {at(4, 3, 44)}); }));
  CHECK_FALSE(ends_the_process([f]() mutable { f.receive(epoch{3}, five[3], {at(5, 3, 55)}); }));
}

TEST_CASE("a leader's entries are told in order, and only what it has can be on its disk",
          "[replication]") {
  CHECK(ends_the_process([] { rule_of({leader}, 1).appended(at(9, 5, 9)); }));
  CHECK(ends_the_process([] { rule_of({leader}, 1).appended(at(8, 4, 8)); }));
  CHECK(ends_the_process([] { (void)rule_of({leader}, 1).stored(log_index{8}); }));
  CHECK(ends_the_process([] { (void)rule_of({near}, 1); }));
  CHECK_FALSE(ends_the_process([] { rule_of({leader}, 1).appended(at(8, 5, 8)); }));
}

/// Extends `log` by entries of one epoch; each hash says what lies below it, as the chain's does.
void grow(std::vector<log_position>& log, std::uint64_t written, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto below = log.empty() ? 0 : log.back().hash.high;
    log.push_back(at(log.size() + 1, written, (below * 31 + log.size() + 1) * 1'000'003 + written));
  }
}

TEST_CASE("in any order of messages a follower's log becomes its leader's and keeps what is "
          "committed",
          "[replication]") {
  const auto base = std::random_device{}();
  for (std::uint64_t i = 0; i < 500; ++i) {
    const std::uint64_t seed = base + i;
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    const auto draw = [&](std::uint64_t below) { return random() % below; };
    follower f;
    std::vector<log_position> leaders; // the log of whoever leads now
    for (std::uint64_t now = 2; now < 10; ++now) {
      // The next leader holds all that is committed, and loses or replaces some of the rest.
      leaders.resize(f.committed.value + draw(leaders.size() - f.committed.value + 1));
      grow(leaders, now, 1 + draw(6));
      for (int step = 0; step < 12; ++step) {
        if (draw(3) == 0)
          grow(leaders, now, draw(4));
        const auto before = f.log;
        const auto from = draw(leaders.size() + 1);
        const auto count = draw(leaders.size() - from + 1);
        const auto previous = from == 0 ? log_position{} : leaders[from - 1];
        const std::vector<log_position> message(leaders.begin() + static_cast<long>(from),
                                                leaders.begin() + static_cast<long>(from + count));
        const auto sender = draw(6) == 0 && f.promised.value > 1 ? f.promised.value - 1 : now;
        const auto verdict = f.receive(epoch{std::max(sender, previous.written.value)}, previous,
                                       sender == now ? message : std::vector<log_position>{});
        const auto* accepted = std::get_if<accept_entries>(&verdict);
        if (!accepted) {
          REQUIRE(f.log == before);
          if (const auto* earlier = std::get_if<ask_earlier>(&verdict))
            REQUIRE(earlier->end == f.end());
          continue;
        }
        const auto matched = accepted->last.index.value;
        REQUIRE(matched <= leaders.size());
        REQUIRE(std::equal(leaders.begin(), leaders.begin() + static_cast<long>(matched),
                           f.log.begin()));
        // Entries that equalled the leader's are there still.
        std::size_t same = 0;
        while (same < before.size() && same < leaders.size() && before[same] == leaders[same])
          ++same;
        REQUIRE(
            std::equal(before.begin(), before.begin() + static_cast<long>(same), f.log.begin()));
        if (draw(3) == 0 && accepted->last.written.value == now)
          f.committed = std::max(f.committed, accepted->last.index);
      }
    }
  }
}

} // namespace
} // namespace waybill::test
