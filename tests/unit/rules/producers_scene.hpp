// A leader of one partition as far as producers are concerned: its log, what of it is committed,
// and replicas that only apply. For tests of the rules of producers.
#pragma once

#include "actors/rules/producers.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <optional>

namespace waybill::test {

struct logged {
  log_position at;
  wall_time stamped{};
  std::optional<producer_record> opening; ///< none: a batch
  std::string producer;
  batch_claim claim{}; ///< without its producer
  message_offset first;
};

inline void apply_to(producers& rules, const logged& e) {
  if (e.opening) {
    rules.apply(*e.opening, e.stamped);
    return;
  }
  auto claim = e.claim;
  claim.producer = e.producer;
  rules.apply(claim, e.at, e.first, 2, e.stamped);
}

inline partition_snapshot snapshot_of(const producers& rules, log_index at) {
  partition_snapshot s;
  s.at.index = at;
  rules.snapshot(s);
  return s;
}

inline ec code_of(const batch_verdict& v) {
  const auto* why = std::get_if<failure>(&v);
  return why ? why->code : ec::none;
}
inline ec code_of(const opening_verdict& v) {
  const auto* why = std::get_if<failure>(&v);
  return why ? why->code : ec::none;
}

class scene {
public:
  explicit scene(producer_limits limits = {}, const partition_snapshot& from = {},
                 std::uint64_t next = 1)
      : rules{limits, from}, next_{next} {}

  batch_verdict publish(const std::string& producer, producer_epoch opened, std::uint64_t number,
                        std::uint64_t previous, std::uint64_t bytes) {
    batch_claim claim{producer, opened, batch_number{number}, batch_number{previous}, {bytes, 7}};
    auto verdict = rules.judge(claim);
    if (std::holds_alternative<take_it>(verdict)) {
      log.push_back({next_position(), now, std::nullopt, producer, claim, next_offset});
      next_offset.value += 2;
      rules.appended(claim, log.back().at.index);
    }
    return verdict;
  }
  opening_verdict try_open(const std::string& producer, std::uint64_t instance, bool take_over) {
    auto verdict = rules.judge_opening(producer, instance, take_over);
    if (const auto* opening = std::get_if<append_opening>(&verdict)) {
      log.push_back({next_position(), now, opening->record, producer, {}, next_offset});
      rules.appended(opening->record);
    }
    return verdict;
  }
  /// Opened anew, and committed with all before.
  producer_epoch open(const std::string& producer, std::uint64_t instance = 1) {
    const auto verdict = try_open(producer, instance, true);
    const auto opened = std::get<append_opening>(verdict).record.opened;
    commit_all();
    return opened;
  }
  const logged& commit_one() {
    committed.push_back(std::move(log.front()));
    log.pop_front();
    apply_to(rules, committed.back());
    return committed.back();
  }
  void commit_all() {
    while (!log.empty())
      (void)commit_one();
  }
  template <class Watch>
  void commit_all_into(Watch watch) {
    while (!log.empty())
      watch(commit_one());
  }
  /// A batch of a producer that goes on, committed.
  const logged& send(const std::string& producer, producer_epoch opened, std::uint64_t number,
                     std::uint64_t bytes) {
    REQUIRE(std::holds_alternative<take_it>(
        publish(producer, opened, number, rules.last_number(producer).value, bytes)));
    commit_all();
    return committed.back();
  }
  [[nodiscard]] log_index committed_index() const { return log_index{next_ - 1 - log.size()}; }

  producers rules;
  std::deque<logged> log; ///< not committed
  std::deque<logged> committed;
  wall_time now{milliseconds{1'000'000}};
  message_offset next_offset;

private:
  log_position next_position() {
    const auto index = next_++;
    return {log_index{index}, epoch{1}, hash128{index, index}};
  }
  std::uint64_t next_;
};

} // namespace waybill::test
