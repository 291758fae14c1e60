// A partition's random history with all that an audit looks at: its log, what was dropped of it,
// its state, what is out, and its dead letters. Correct as made; tests spoil it and look what is
// found.
#pragma once

#include "actors/rules/ledger.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace waybill::test {

/// Where a message is for one group.
enum class place { not_its, ready, leased, delayed, acked, dead, redriven, purged, for_others };

class books_history {
public:
  explicit books_history(std::uint64_t seed, int entries = 60) : random_{seed} {
    basis.topic = "orders";
    basis.partition = {topic_id{77}, 3};
    add_group("early", 0);
    append(entry_kind::epoch_start, 0);
    const auto end = entries - 10;
    for (int i = 1; i < entries; ++i) {
      if (i == entries / 3)
        add_group("late", next_offset);
      step();
      if (i == end)
        close_state();
    }
    drop_some();
  }

  [[nodiscard]] audited_partition audit() const {
    auditor books{basis, dropped};
    for (const auto& each : log)
      books.entry(each);
    for (const auto& [group, offset] : dead_letters)
      books.dead_letter(group, offset);
    return books.close();
  }
  [[nodiscard]] place where(const std::string& group, message_offset offset) const {
    return places_.at(group).at(offset.value);
  }
  [[nodiscard]] bool is_needed(const std::string& group, message_offset offset) const {
    const auto at = where(group, offset);
    return at == place::ready || at == place::leased || at == place::delayed;
  }
  [[nodiscard]] bool is_needed(const entry& e) const {
    for (auto offset = e.first_offset; offset < offsets_of(e).end; ++offset.value)
      if (is_needed("early", offset) || is_needed("late", offset))
        return true;
    return false;
  }
  /// Entries of `log` that lie at or below the audited position.
  [[nodiscard]] std::size_t audited() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        log, [this](const entry& e) { return e.index <= basis.state.at.index; }));
  }
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }
  /// Gives an entry the hash that its bytes have now.
  static void seal(entry& e) { e.hash = chain_hash(e); }

  audit_basis basis;
  dropped_books dropped;
  std::vector<entry> log;
  std::vector<std::pair<std::string, message_offset>> dead_letters;
  message_offset next_offset;

private:
  void add_group(const std::string& name, message_offset start) {
    starts_[name] = start;
    places_[name].assign(start.value, place::not_its);
  }
  void add_group(const std::string& name, std::uint64_t start) {
    add_group(name, message_offset{start});
  }

  void append(entry_kind kind, std::uint32_t messages, const std::string& only = {}) {
    entry e;
    e.partition = basis.partition;
    e.index = log_index{log.size() + 1};
    e.written = epoch_;
    e.kind = kind;
    e.first_offset = next_offset;
    e.message_count = messages;
    e.stamped = wall_time{milliseconds{1'000 + log.size() / 2}};
    e.previous = log.empty() ? hash128{} : log.back().hash;
    e.body = shared_bytes{std::string(draw(40), static_cast<char>('a' + draw(26)))};
    seal(e);
    log.push_back(e);
    next_offset.value += messages;
    for (auto& [name, places] : places_)
      places.insert(places.end(), messages,
                    only.empty() || only == name ? place::ready : place::for_others);
  }

  void step() {
    switch (draw(6)) {
    case 0:
      epoch_.value += draw(2);
      append(draw(2) == 0 ? entry_kind::delivery : entry_kind::producer, 0);
      break;
    case 1:
      redrive(draw(2) == 0 ? "early" : "late");
      break;
    default:
      append(entry_kind::messages, static_cast<std::uint32_t>(1 + draw(4)));
    }
    // Most of what is old is settled, a little of it stays.
    for (auto& [name, places] : places_)
      for (auto& each : places)
        if (each == place::ready && draw(6) == 0)
          each = draw(12) == 0 ? place::dead : place::acked;
  }
  /// Dead letters go back to their group, or are purged.
  void redrive(const std::string& group) {
    if (!places_.contains(group))
      return;
    std::uint32_t sent_back = 0;
    const bool purge = draw(2) == 0;
    for (auto& each : places_.at(group)) {
      if (each != place::dead || draw(2) == 0)
        continue;
      each = purge ? place::purged : place::redriven;
      sent_back += !purge;
    }
    append(entry_kind::redrive, sent_back, group);
  }

  /// The state at the log's end as it is now; what comes later is above the audited position.
  void close_state() {
    auto& state = basis.state;
    state.at = position_of(log.back());
    state.next_offset = next_offset;
    state.confirmed = next_offset.value;
    state.last_stamp = log.back().stamped;
    for (auto& [name, places] : places_) {
      for (auto& each : places)
        if (each == place::ready && draw(4) == 0)
          each = draw(2) == 0 ? place::leased : place::delayed;
      state.groups.push_back(group_at_end(name));
    }
    closed_places_ = places_;
  }
  group_snapshot group_at_end(const std::string& name) {
    group_snapshot g;
    g.group = name;
    g.start = starts_.at(name);
    const auto& places = places_.at(name);
    audit_basis::held held{name, {}, {}};
    bool at_floor = true;
    for (std::uint64_t i = g.start.value; i < places.size(); ++i) {
      const offset_range one{message_offset{i}, message_offset{i + 1}};
      const auto at = places[i];
      const bool settled = at != place::ready && at != place::leased && at != place::delayed;
      at_floor = at_floor && settled;
      if (at_floor)
        g.floor = one.end;
      else if (settled && !g.settled.empty() && g.settled.back().end == one.first)
        g.settled.back().end = one.end;
      else if (settled)
        g.settled.push_back(one);
      ++g.counts.arrived;
      g.counts.acked += at == place::acked;
      g.counts.redriven += at == place::redriven;
      g.counts.purged += at == place::purged;
      g.counts.for_others += at == place::for_others;
      g.counts.dead += at == place::dead || at == place::redriven || at == place::purged;
      if (at == place::leased)
        held.leased.push_back(one);
      if (at == place::delayed)
        held.delayed.push_back(one);
      if (at == place::dead) {
        g.dead_letters[one.first] = wall_time{};
        dead_letters.emplace_back(name, one.first);
      }
    }
    g.floor = std::max(g.floor, g.start);
    basis.out.push_back(std::move(held));
    return g;
  }

  /// Takes entries out of the log that nobody needs, and notes them as the store does.
  void drop_some() {
    places_ = closed_places_;
    std::vector<entry> kept;
    for (const auto& e : log) {
      if (e.index > basis.state.at.index || is_needed(e) || draw(3) == 0) {
        kept.push_back(e);
        continue;
      }
      auto& ranges = dropped.ranges;
      dropped.messages += e.message_count;
      if (!ranges.empty() && ranges.back().entries.last.value + 1 == e.index.value) {
        ranges.back().entries.last = e.index;
        ranges.back().after = e.hash;
        ranges.back().offsets.end = offsets_of(e).end;
      } else {
        ranges.push_back({{e.index, e.index}, e.previous, e.hash, offsets_of(e)});
      }
    }
    log = std::move(kept);
  }

  std::mt19937_64 random_;
  epoch epoch_{1};
  std::map<std::string, message_offset> starts_;
  std::map<std::string, std::vector<place>> places_, closed_places_;
};

/// Runs `check` over random histories; a seed that fails is printed.
inline void for_histories(const std::function<void(books_history&)>& check) {
  const auto base = std::random_device{}();
  for (std::uint64_t i = 0; i < 60; ++i) {
    const std::uint64_t seed = base + i;
    INFO("seed " << seed);
    books_history h{seed};
    check(h);
  }
}

inline std::string all_of(const audited_partition& books) {
  std::string text;
  for (const auto& each : books.faults)
    text += each + "\n";
  return text;
}
inline bool names(const audited_partition& books, const std::string& words) {
  return std::ranges::any_of(books.faults, [&](const std::string& fault) {
    return fault.starts_with("orders#3: ") && fault.find(words) != std::string::npos;
  });
}
inline std::string text_of(const offset_range& r) {
  if (r.first >= r.end)
    return "no messages";
  const auto first = std::to_string(r.first.value), last = std::to_string(r.end.value - 1);
  return first == last ? "message " + first : "messages " + first + " to " + last;
}
inline const audited_group& books_of(const audited_partition& books, const std::string& group) {
  return *std::ranges::find(books.groups, group, &audited_group::group);
}

} // namespace waybill::test
