// Random histories of a partition: consumers that ack, fail, vanish; clocks that jump; commits that
// lag; leaders that change. After each step the rules are compared with the plain reference, and
// with what may be out with whom.
#pragma once

#include "delivery_reference.hpp"

#include <random>
#include <utility>

namespace waybill::bench {

/// Comparing for REQUIRE without writing the operands down: millions of them.
#define MUST(condition)                                                                            \
  do {                                                                                             \
    if (!(condition))                                                                              \
      FAIL("not true: " #condition);                                                               \
  } while (false)

inline std::uint64_t size_of(std::uint64_t offset) { return 1 + offset * 7'919 % 50; }

inline std::uint64_t key_of(std::uint64_t offset) { return offset * 7'919 % 5; }

inline std::set<std::uint64_t> singles(const ranges& some) {
  std::set<std::uint64_t> all;
  for (const auto& each : some) {
    for (auto o = each.first.value; o < each.end.value; ++o)
      all.insert(o);
  }
  return all;
}

/// What happened in all histories: a search that never gets there proves nothing.
struct sightings {
  std::uint64_t first = 0, again = 0, acked = 0, dead = 0, redriven = 0, for_others = 0,
                leaders = 0, held_back = 0, removed = 0, taken_over = 0, waited = 0, expired = 0,
                overdue = 0, in_order = 0, passed_over = 0, skipped = 0, reopened = 0, dropped = 0,
                transferred = 0, in_doubt = 0;
};

class history {
public:
  history(std::uint64_t seed, sightings& seen) : seen_{seen}, random_{seed} {
    limits_.settled_ranges_max = chance(3) ? 2 + below(4) : 1'000;
    limits_.waiting_max = chance(3) ? 2 + below(4) : 1'000;
    limits_.behind_max = chance(3) ? 5 + below(10) : 1'000;
    careless_ = chance(4);
    leader_ = delivery{limits_, {}};
    follower_ = delivery{limits_, {}};
  }
  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check_books();
      if (i % 7 == 0)
        check_state();
    }
    drain();
  }

private:
  struct holder {
    consumer_id who;
    std::uint32_t attempt = 0;
    milliseconds until{};
  };
  struct logged {
    log_entry what;
    proposal_number own;
  };
  struct consumer {
    std::string group;
    std::uint64_t messages = 0, bytes = 0;
  };
  /// What this leader has out of one group, as its consumers saw it.
  struct outside {
    std::map<std::uint64_t, holder> held;
    std::set<std::uint64_t> settling; ///< in a proposal that is not committed
    std::set<std::uint64_t> starting; ///< likewise, an attempt
    std::map<std::uint64_t, milliseconds> waits;
    std::map<std::uint64_t, milliseconds> expiring;
    std::set<std::uint64_t> overdue; ///< its time ran out
    std::set<std::uint64_t> expired; ///< likewise, and nobody has it: to be buried
    std::set<std::uint64_t> gone;    ///< of `settling`: nobody has it in hand
    std::set<std::uint64_t> begun;   ///< as `starting`, in a proposal that has not come out yet
    std::map<std::uint64_t, consumer_id> holders; ///< of keys
    /// It is or was ordered: the leader looks at a message's time when its turn comes, by the wall
    /// clock of that moment.
    bool is_loose = false;
    /// It was sought: what consumers said before it comes out of the leader behind it.
    bool was_sought = false;
    bool recheck = false;
    void forget(std::uint64_t o) {
      for (auto* const some : {&settling, &starting, &overdue, &expired, &gone})
        some->erase(o);
      held.erase(o);
      waits.erase(o);
      expiring.erase(o);
    }
    [[nodiscard]] bool out(std::uint64_t o) const {
      return held.contains(o) || settling.contains(o) || starting.contains(o);
    }
  };
  using fate = reference_group::fate;

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  double share() { return static_cast<double>(below(1'001)) / 1'000; }
  std::string some_group() { return std::string(1, static_cast<char>('a' + below(3))); }
  std::optional<consumer_id> some_consumer() {
    if (consumers_.empty())
      return std::nullopt;
    return std::next(consumers_.begin(), static_cast<std::ptrdiff_t>(below(consumers_.size())))
        ->first;
  }
  group_policy some_policy() {
    return {.lease = milliseconds{50 + below(400)},
            .attempts_max = static_cast<std::uint32_t>(1 + below(4)),
            .delay = milliseconds{below(100)},
            .factor = 1.0 + share(),
            .delay_max = 200ms,
            .jitter = share(),
            .ordered = chance(2)};
  }
  offset_range some_range() {
    const auto first = below(ref_.next() + 1);
    return range(first, first + below(12));
  }
  void append(log_entry what, proposal_number own = {}) { log_.push_back({std::move(what), own}); }

  void step();
  void groups_step();
  void retention_step();
  void consumer_step();
  void settle_step(consumer_id who);
  void redrive_step();
  void transfer_step(const std::string& name, const reference_group& g);
  void pass(milliseconds time);
  bool propose_one();
  void expect_taken_over();
  void look_for_begun();
  void place(outside& from, const reference_group& g, std::uint64_t o);
  [[nodiscard]] wall_time not_before(const reference_group& g, std::uint64_t o) const;
  void come_in_time(outside& from, const reference_group& g, std::uint64_t o);
  void watch(outside& from, const reference_group& g, std::uint64_t o);
  void give_back(outside& from, std::uint64_t o);
  bool expire(outside& from);
  messages_entry some_messages();
  void check_proposal(const delivery_record& r);
  void commit_one();
  void committed(const delivery_record& r, proposal_number own);
  void committed(const group_record& r);
  void committed(const retention_record& r);
  void sought(const std::string& name, const std::vector<fate>& before);
  void deliver();
  void check_order(const delivery_order& what, const std::string& name);
  void change_leader();
  void check_books();
  void check_state();
  void drain();

  sightings& seen_;
  std::mt19937_64 random_;
  delivery_limits limits_;
  bool careless_ = false; ///< leaders propose before the entries of earlier epochs are applied
  moment now_{1s, wall_time{1'000'000s}};
  milliseconds wall_ahead_{now_.wall.time_since_epoch() - now_.steady}; ///< the most it ever was
  std::vector<logged> log_;
  std::size_t applied_ = 0;
  delivery leader_{limits_, {}};
  delivery follower_{limits_, {}};
  reference ref_;
  partition_snapshot saved_;
  std::size_t saved_at_ = 0;
  bool proposed_before_ = false; ///< by this leader
  bool more_gathered_ = false;   ///< perhaps: the last call of `propose` gave a record
  consumer_id last_id_;
  std::map<consumer_id, consumer> consumers_;
  std::map<std::string, outside> outside_;
  std::map<std::string, std::uint32_t> attempts_ceiling_; ///< the highest policy a group ever had
};

} // namespace waybill::bench
