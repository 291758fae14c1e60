// A partition's delivery rules on a bench: a log that commits when told, and a clock that is moved.
#pragma once

#include "actors/rules/delivery.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace waybill::bench {

using namespace std::chrono_literals;

inline message_offset at(std::uint64_t n) { return message_offset{n}; }
inline offset_range range(std::uint64_t first, std::uint64_t end) { return {at(first), at(end)}; }
using ranges = std::vector<offset_range>;

constexpr consumer_id ann{1}, bob{2}, cid{3};

/// No jitter: waits are exact.
inline group_policy plain_policy() {
  return {
      .lease = 30s, .attempts_max = 3, .delay = 1s, .factor = 2, .delay_max = 5min, .jitter = 0};
}

struct depot {
  explicit depot(delivery_limits l = {}) : limits{l}, rules{l, partition_snapshot{}} {}
  depot(delivery_limits l, const partition_snapshot& from)
      : limits{l}, rules{l, from}, next{from.next_offset} {}

  delivery_limits limits;
  delivery rules;
  moment now{1s, wall_time{1'000'000s}};
  message_offset next;
  std::uint32_t message_bytes = 100;
  std::map<message_offset, std::uint64_t> keys; ///< of all that was published
  std::vector<delivery_record> committed;       ///< in order, since the last look

  void publish(std::uint64_t many, std::optional<std::string> only = std::nullopt) {
    const offset_range arrived{next, at(next.value + many)};
    for (; next < arrived.end; ++next.value)
      keys.emplace(next, 0);
    rules.apply_messages(arrived, only);
  }
  /// A message of each of these keys.
  void publish_keys(const std::vector<std::uint64_t>& some) {
    for (const auto key : some) {
      publish(1);
      keys[at(next.value - 1)] = key;
    }
  }
  /// One message with these times.
  void publish_timed(const message_times& times) {
    publish(1);
    rules.apply_times({{at(next.value - 1), times}}, now);
  }
  void create(const std::string& group, group_policy policy = plain_policy(),
              std::uint64_t start = 0) {
    rules.apply(group_record{group_action::create, group, policy, at(start)}, now);
  }
  void seek(const std::string& group, std::uint64_t target) {
    rules.apply(group_record{group_action::seek, group, {}, at(target)}, now);
  }
  void remove(const std::string& group) {
    rules.apply(group_record{group_action::remove, group, {}, {}}, now);
  }
  void join(consumer_id who, const std::string& group = "g", std::uint32_t messages = 1'000,
            std::uint64_t bytes = 1 << 20) {
    REQUIRE(rules.join(group, who, "consumer-" + std::to_string(who.value), messages, bytes));
  }
  /// All that is gathered is proposed and commits.
  std::vector<delivery_record> commit() {
    std::vector<delivery_record> all;
    while (auto p = rules.propose(now, 0.5)) {
      rules.apply(p->record, p->number, now);
      all.push_back(std::move(p->record));
    }
    return all;
  }
  std::vector<delivery_order> deliver(std::size_t most = 10'000) {
    return rules.deliver(
        now,
        [this](message_offset o, delivery::wants_key) {
          return std::optional{delivery::message_facts{message_bytes, keys.at(o)}};
        },
        most);
  }
  std::vector<delivery_order> turn() {
    commit();
    return deliver();
  }
  void pass(milliseconds time) {
    now.steady += time;
    now.wall += time;
    rules.tick(now, 0.5);
  }
  settling ack(consumer_id who, const ranges& some) { return rules.ack(who, some); }
  settling nack(consumer_id who, std::uint64_t offset, std::string reason = "no") {
    return rules.nack(who, at(offset), std::nullopt, std::move(reason), now, 0.5);
  }
  group_view view(const std::string& group = "g") const {
    for (const auto& each : rules.views()) {
      if (each.group == group)
        return each;
    }
    FAIL("no such group: " << group);
    return {};
  }
  partition_snapshot snapshot() const {
    partition_snapshot into;
    into.next_offset = next;
    rules.snapshot(into);
    return into;
  }
  /// Another leader takes over from what is committed.
  void change_leader() { rules = delivery{limits, snapshot()}; }
};

inline attempt_failed failed_at(std::uint64_t offset, std::uint32_t attempt,
                                std::string reason = {}) {
  attempt_failed what;
  what.offset = at(offset);
  what.attempt = attempt;
  what.reason = std::move(reason);
  return what;
}

inline dead_letter dead_at(std::uint64_t offset, wall_time died = {}) {
  dead_letter what;
  what.offset = at(offset);
  what.attempts = 3;
  what.died = died;
  return what;
}

inline bool balances(const group_view& v) {
  const auto& c = v.counts;
  return v.dead_held == c.dead - c.redriven - c.purged &&
         c.arrived + c.reopened == c.acked + c.skipped + c.dropped_unread + v.ready + v.leased +
                                       v.delayed + v.dead_held + c.redriven + c.purged +
                                       c.for_others;
}

inline ranges offsets_of(const std::vector<delivery_order>& orders) {
  ranges all;
  for (const auto& each : orders) {
    if (!all.empty() && all.back().end == each.offset)
      ++all.back().end.value;
    else
      all.push_back({each.offset, at(each.offset.value + 1)});
  }
  return all;
}

inline ranges offsets_of(const std::vector<delivery_order>& orders, consumer_id who) {
  auto some = orders;
  std::erase_if(some, [&](const auto& each) { return each.consumer != who; });
  return offsets_of(some);
}

} // namespace waybill::bench
