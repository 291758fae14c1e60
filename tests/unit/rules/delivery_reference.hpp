// The replicated half of the delivery rules, written down a second time as plainly as possible: one
// state for each message and group. What the rules say is compared with it.
#pragma once

#include "delivery_bench.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace waybill::bench {

/// One entry of the log, as far as delivery is concerned.
struct messages_entry {
  std::uint64_t many = 0;
  std::map<std::uint64_t, message_times> times{}; ///< by place
};
/// Dead letters that go back (as many new messages, for the group alone) or are purged.
struct redrive_entry {
  redrive_record record;
};
inline timed_messages offsets_of(const messages_entry& m, std::uint64_t first) {
  timed_messages found;
  for (const auto& [place, each] : m.times)
    found.emplace(at(first + place), each);
  return found;
}
using log_entry = std::variant<messages_entry, redrive_entry, group_record, delivery_record,
                               retention_record, transfer_record>;

struct reference_group {
  enum class fate : std::uint8_t {
    not_its_own,
    open,
    acked,
    for_others,
    dead,
    redriven,
    purged,
    skipped,
    dropped
  };
  struct tries {
    std::uint32_t failed = 0;
    std::uint32_t started = 0;
    wall_time not_before{};
  };
  group_policy policy;
  std::uint64_t start = 0;
  std::vector<fate> fates; ///< by offset
  std::map<std::uint64_t, tries> attempts;
  group_counts counts; ///< of all that ever happened; a seek takes nothing back

  std::map<log_index, transfer_state> transfers;

  [[nodiscard]] bool open(std::uint64_t o) const { return fates.at(o) == fate::open; }
  /// A dead letter that is on its way nowhere.
  [[nodiscard]] bool is_free(message_offset o) const {
    return fates.at(o.value) == fate::dead &&
           std::ranges::none_of(transfers, [o](const auto& each) {
             return std::ranges::find(each.second.dead_letters, o) !=
                    each.second.dead_letters.end();
           });
  }
  [[nodiscard]] std::uint64_t count(fate which) const {
    return static_cast<std::uint64_t>(std::ranges::count(fates, which));
  }
  /// Settles an open message.
  void close(std::uint64_t o, fate how) {
    if (o < fates.size() && open(o)) {
      fates[o] = how;
      attempts.erase(o);
      counts.acked += how == fate::acked;
      counts.dead += how == fate::dead;
      counts.skipped += how == fate::skipped;
      counts.dropped_unread += how == fate::dropped;
    }
  }
};

struct reference {
  using fate = reference_group::fate;
  std::map<std::string, reference_group> groups;
  std::vector<std::string> only_for; ///< by offset; empty: for all
  std::set<std::uint64_t> settled_by_all;
  std::uint64_t dropped_below = 0;
  std::optional<std::uint64_t> kept_from;
  std::map<std::uint64_t, message_times> times; ///< of all that ever came with some

  [[nodiscard]] std::uint64_t next() const { return only_for.size(); }

  void arrive(std::uint64_t many, const std::string& only) {
    for (; many > 0; --many) {
      for (auto& [name, g] : groups) {
        g.fates.push_back(next() < g.start               ? fate::not_its_own
                          : only.empty() || only == name ? fate::open
                                                         : fate::for_others);
        g.counts.arrived += g.fates.back() != fate::not_its_own;
        g.counts.for_others += g.fates.back() == fate::for_others;
      }
      only_for.push_back(only);
    }
  }
  [[nodiscard]] bool is_kept(std::uint64_t o) const { return kept_from && o >= *kept_from; }
  /// What may be gone is settled for good before a group can get what others have settled.
  void settle_for_good() {
    note_settled();
    std::erase_if(settled_by_all, [this](auto o) { return is_kept(o); });
  }
  void note_settled() {
    for (std::uint64_t o = 0; o < next() && !groups.empty(); ++o) {
      if (std::ranges::none_of(groups, [&](const auto& g) { return g.second.open(o); }))
        settled_by_all.insert(o);
    }
  }
  [[nodiscard]] std::set<std::uint64_t> needed() const {
    std::set<std::uint64_t> found;
    for (std::uint64_t o = 0; o < next(); ++o) {
      if (is_kept(o))
        found.insert(o);
      else if (groups.empty()
                   ? !settled_by_all.contains(o)
                   : std::ranges::any_of(groups, [&](const auto& g) { return g.second.open(o); }))
        found.insert(o);
    }
    return found;
  }
  /// Those that some group may still get.
  [[nodiscard]] timed_messages timed() const {
    const auto wanted = needed();
    timed_messages found;
    for (const auto& [o, each] : times) {
      if (wanted.contains(o))
        found.emplace(at(o), each);
    }
    return found;
  }
  void apply(const retention_record& r) {
    dropped_below = std::max(dropped_below, std::min(r.dropped_below.value, next()));
    for (std::uint64_t o = 0; o < dropped_below; ++o) {
      for (auto& [name, g] : groups)
        g.close(o, fate::dropped);
      settled_by_all.insert(o);
    }
    if (!r.kept_from)
      kept_from.reset();
    else
      kept_from = kept_from
                      ? std::max({*kept_from, std::min(r.kept_from->value, next()), dropped_below})
                      : next();
  }
  void seek(const group_record& r) {
    settle_for_good();
    auto& g = groups[r.group];
    const auto target = std::min(r.start.value, next());
    g.start = std::min(g.start, target);
    for (std::uint64_t o = 0; o < next(); ++o) {
      const bool of_others = !only_for[o].empty() && only_for[o] != r.group;
      if (o < target) {
        g.close(o, fate::skipped);
      } else if (!g.open(o) && !settled_by_all.contains(o) && !of_others &&
                 g.fates[o] != fate::dead) {
        g.fates[o] = fate::open;
        ++g.counts.reopened;
      }
    }
  }
  void apply(const group_record& r) {
    const bool there = groups.contains(r.group);
    if (r.action == group_action::update && there)
      groups[r.group].policy = r.policy;
    if (r.action == group_action::seek && there)
      seek(r);
    if (r.action == group_action::update || r.action == group_action::seek ||
        (r.action == group_action::create) == there)
      return;
    if (r.action == group_action::remove) {
      note_settled();
      groups.erase(r.group);
      return;
    }
    settle_for_good();
    auto& g = groups[r.group];
    g.policy = r.policy;
    g.start = r.start.value;
    for (std::uint64_t o = 0; o < next(); ++o) {
      g.fates.push_back(o < g.start || settled_by_all.contains(o)       ? fate::not_its_own
                        : only_for[o].empty() || only_for[o] == r.group ? fate::open
                                                                        : fate::for_others);
      g.counts.arrived += g.fates.back() != fate::not_its_own;
      g.counts.for_others += g.fates.back() == fate::for_others;
    }
  }
  void apply(const delivery_record& r) {
    for (const auto& change : r.groups) {
      if (!groups.contains(change.group))
        continue;
      auto& g = groups[change.group];
      for (const auto& each : change.acked) {
        for (auto o = each.first.value; o < each.end.value; ++o)
          g.close(o, fate::acked);
      }
      for (const auto& each : change.started) {
        if (g.open(each.offset.value))
          g.attempts[each.offset.value].started =
              std::max(g.attempts[each.offset.value].started, each.attempt);
      }
      for (const auto& each : change.failed) {
        if (!g.open(each.offset.value) || g.attempts[each.offset.value].failed >= each.attempt)
          continue;
        g.attempts[each.offset.value].failed = each.attempt;
        g.attempts[each.offset.value].not_before = each.not_before;
      }
      for (const auto& each : change.dead) {
        g.counts.expired += each.why == failed_because::expired && each.offset.value < next() &&
                            g.open(each.offset.value);
        g.close(each.offset.value, fate::dead);
      }
    }
  }
  std::vector<message_offset> apply(const redrive_record& r) {
    std::vector<message_offset> released;
    if (groups.contains(r.group)) {
      auto& g = groups[r.group];
      for (const auto each : r.dead_letters) {
        if (!g.is_free(each))
          continue;
        g.fates[each.value] = r.batch.empty() ? fate::purged : fate::redriven;
        ++(r.batch.empty() ? g.counts.purged : g.counts.redriven);
        released.push_back(each);
      }
    }
    if (!r.batch.empty())
      arrive(r.dead_letters.size(), r.group);
    return released;
  }
  std::vector<message_offset> apply(const transfer_record& r, log_index entry) {
    if (!groups.contains(r.group))
      return {};
    auto& g = groups[r.group];
    if (r.action == transfer_action::begin) {
      if (std::ranges::all_of(r.what.dead_letters, [&](auto each) { return g.is_free(each); }))
        g.transfers[entry] = r.what;
      return {};
    }
    if (!g.transfers.contains(r.begun))
      return {};
    const auto letters = g.transfers[r.begun].dead_letters;
    if (r.action == transfer_action::doubt)
      g.transfers[r.begun].doubt = r.reason;
    else
      g.transfers.erase(r.begun);
    if (r.action != transfer_action::done)
      return {};
    for (const auto each : letters) {
      g.fates[each.value] = fate::redriven;
      ++g.counts.redriven;
    }
    return letters;
  }
};

} // namespace waybill::bench
