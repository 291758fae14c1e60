// The audit of one partition: a walk along the chain that notes what is there, what was dropped and
// what is missing; then the groups' books, in which every message has exactly one place.
#include "actors/rules/ledger.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace waybill {
namespace {

/// Further faults are counted, and told as a number: a broken log has as many as it has entries.
constexpr std::size_t faults_named_max = 1'000;

// ---- sets of offsets: ascending, disjoint, none empty, not adjacent ----------------------------

using offset_set = std::vector<offset_range>;

void add_behind(offset_set& to, const offset_range& r) {
  if (r.first >= r.end)
    return;
  if (!to.empty() && r.first <= to.back().end)
    to.back().end = std::max(to.back().end, r.end);
  else
    to.push_back(r);
}

offset_set to_set(std::vector<offset_range> ranges) {
  std::ranges::sort(ranges);
  offset_set all;
  for (const auto& each : ranges)
    add_behind(all, each);
  return all;
}

offset_set common(const offset_set& a, const offset_set& b) {
  offset_set both;
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    add_behind(both, {std::max(x->first, y->first), std::min(x->end, y->end)});
    x->end < y->end ? ++x : ++y;
  }
  return both;
}

offset_set without(const offset_set& a, const offset_set& b) {
  offset_set rest;
  auto y = b.begin();
  for (auto each : a) {
    while (y != b.end() && y->end <= each.first)
      ++y;
    for (auto z = y; z != b.end() && z->first < each.end; ++z) {
      add_behind(rest, {each.first, std::min(z->first, each.end)});
      each.first = std::max(each.first, std::min(z->end, each.end));
    }
    add_behind(rest, each);
  }
  return rest;
}

std::uint64_t size(const std::vector<offset_range>& ranges) {
  std::uint64_t sum = 0;
  for (const auto& each : ranges)
    sum += each.first < each.end ? each.end.value - each.first.value : 0;
  return sum;
}

// ---- text --------------------------------------------------------------------------------------

std::string span_text(const char* one, const char* many, std::uint64_t first, std::uint64_t last) {
  return first == last
             ? one + std::string{" "} + std::to_string(first)
             : many + std::string{" "} + std::to_string(first) + " to " + std::to_string(last);
}
std::string to_text(const index_range& r) {
  return span_text("entry", "entries", r.first.value, r.last.value);
}
std::string to_text(const offset_range& r) {
  return r.first >= r.end ? "no messages"
                          : span_text("message", "messages", r.first.value, r.end.value - 1);
}

class fault_list {
public:
  explicit fault_list(std::string prefix) : prefix_{std::move(prefix) + ": "} {}
  void add(const std::string& what) {
    if (++count_ <= faults_named_max)
      faults_.push_back(prefix_ + what);
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::vector<std::string> take() {
    if (count_ > faults_named_max)
      faults_.push_back(prefix_ + std::to_string(count_ - faults_named_max) + " further faults");
    return std::move(faults_);
  }

private:
  std::string prefix_;
  std::size_t count_ = 0;
  std::vector<std::string> faults_;
};

// ---- the chain ---------------------------------------------------------------------------------

/// Follows one partition's log from its first entry to `end`, over dropped ranges.
class chain_walk {
public:
  chain_walk(partition_id partition, log_position end, message_offset end_offset,
             dropped_books dropped, fault_list& faults)
      : partition_{partition}, end_{end},
        end_offset_{end_offset}, dropped_{std::move(dropped)}, faults_{faults} {
    check_dropped();
  }
  void entry(const waybill::entry& e);
  void finish();

  std::uint64_t entries = 0;
  std::uint64_t live = 0;
  std::uint64_t dropped = 0;
  offset_set present; ///< messages that were read

private:
  void check_dropped();
  void go_on_to(log_index index, message_offset first_offset);
  void over(const dropped_range& range);
  void over_missing(log_index next_there, message_offset first_there);
  void check_link(const waybill::entry& e);
  void check_content(const waybill::entry& e);
  void take_messages(const waybill::entry& e);
  [[nodiscard]] const dropped_range* next_dropped() const {
    return next_range_ < dropped_.ranges.size() ? &dropped_.ranges[next_range_] : nullptr;
  }

  partition_id partition_;
  log_position end_;
  message_offset end_offset_;
  dropped_books dropped_;
  fault_list& faults_;
  std::size_t next_range_ = 0;
  // What the next entry must look like.
  log_index index_{1};
  std::optional<hash128> previous_ = hash128{}; ///< none: the entry before is missing
  message_offset offset_{0};
  epoch written_;
  wall_time stamped_{};
};

/// Keeps the ranges up to the end; their messages were counted when they were dropped, one by one,
/// and must be what the ranges span.
void chain_walk::check_dropped() {
  std::uint64_t spanned = 0;
  for (const auto& each : dropped_.ranges)
    spanned += size({each.offsets});
  if (spanned != dropped_.messages)
    faults_.add("the dropped ranges span " + std::to_string(spanned) + " messages, but " +
                std::to_string(dropped_.messages) + " were counted as they were dropped");
  dropped = dropped_.messages;
  std::erase_if(dropped_.ranges, [&](const dropped_range& each) {
    if (each.entries.first <= end_.index)
      return false;
    dropped -= std::min(dropped, size({each.offsets})); // after the moment of this audit
    return true;
  });
}

void chain_walk::entry(const waybill::entry& e) {
  if (e.index > end_.index)
    return;
  if (e.partition != partition_) {
    faults_.add(to_text(index_range{e.index, e.index}) + " belongs to another partition");
    return;
  }
  go_on_to(e.index, e.first_offset);
  if (e.index < index_) {
    faults_.add(to_text(index_range{e.index, e.index}) + ", with " + to_text(offsets_of(e)) +
                ", is in the log although the log is past it: it is there twice, out of order, "
                "or was dropped");
    return;
  }
  check_link(e);
  check_content(e);
  take_messages(e);
  ++entries;
  index_ = log_index{e.index.value + 1};
  previous_ = e.hash;
  written_ = std::max(written_, e.written);
  stamped_ = std::max(stamped_, e.stamped);
}

/// Goes over what is not in the store before `index`.
void chain_walk::go_on_to(log_index index, message_offset first_offset) {
  for (;;) {
    const auto* range = next_dropped();
    if (range && range->entries.first <= index_) {
      ++next_range_;
      over(*range);
    } else if (index_ < index) {
      if (range && range->entries.first < index)
        over_missing(range->entries.first, range->offsets.first);
      else
        over_missing(index, first_offset);
    } else {
      return;
    }
  }
}

void chain_walk::over(const dropped_range& range) {
  const auto name =
      "the dropped range of " + to_text(range.entries) + ", with " + to_text(range.offsets) + ", ";
  if (range.entries.first < index_ || range.entries.last < range.entries.first) {
    faults_.add(name + "does not begin behind the entry before it");
    return;
  }
  if (range.entries.last > end_.index)
    faults_.add(name + "reaches past entry " + std::to_string(end_.index.value) +
                ", where the audited state ends");
  if (previous_ && range.before != *previous_)
    faults_.add(name + "does not follow the entry before it: the chain is broken at entry " +
                std::to_string(range.entries.first.value));
  if (previous_ && range.offsets.first != offset_)
    faults_.add(name + "should begin with message " + std::to_string(offset_.value));
  if (range.entries.last == end_.index && range.after != end_.hash)
    faults_.add(name + "does not end with the hash that the state has there");
  index_ = log_index{range.entries.last.value + 1};
  previous_ = range.after;
  offset_ = std::max({offset_, range.offsets.first, range.offsets.end});
}

/// No entry from here to before `next_there`, and nothing says that they were dropped.
void chain_walk::over_missing(log_index next_there, message_offset first_there) {
  faults_.add(to_text(index_range{index_, log_index{next_there.value - 1}}) + ", with " +
              to_text(offset_range{offset_, first_there}) +
              (next_there.value - index_.value == 1 ? ", is missing" : ", are missing"));
  index_ = next_there;
  previous_.reset();
  offset_ = std::max(offset_, first_there);
}

void chain_walk::check_link(const waybill::entry& e) {
  const auto name =
      to_text(index_range{e.index, e.index}) + ", with " + to_text(offsets_of(e)) + ", ";
  if (previous_ && e.previous != *previous_)
    faults_.add(name + "does not follow the entry before it: the chain is broken");
  if (e.hash != chain_hash(e))
    faults_.add(name + "is damaged: its bytes do not have its hash");
  if (e.index == end_.index && position_of(e) != end_)
    faults_.add(name + "is not the one that the state was built from");
  if (e.written < written_)
    faults_.add(name + "was written in an earlier epoch than an entry before it");
  if (e.stamped < stamped_)
    faults_.add(name + "has an earlier stamp than an entry before it");
}

void chain_walk::check_content(const waybill::entry& e) {
  const auto name = to_text(index_range{e.index, e.index});
  const bool may_carry = e.kind == entry_kind::messages || e.kind == entry_kind::redrive;
  if ((e.message_count > 0 && !may_carry) ||
      (e.message_count == 0 && e.kind == entry_kind::messages))
    faults_.add(name + " is of a kind that does not carry " + std::to_string(e.message_count) +
                " messages");
}

void chain_walk::take_messages(const waybill::entry& e) {
  const auto name = to_text(index_range{e.index, e.index});
  const auto there = offsets_of(e);
  if (there.first < offset_)
    faults_.add(name + " has " + to_text(offset_range{there.first, std::min(offset_, there.end)}) +
                " a second time");
  else if (there.first > offset_)
    faults_.add(to_text(offset_range{offset_, there.first}) + " should lie before " + name +
                ", but no entry has them");
  live += e.message_count;
  // Behind what is there already; what is there a second time is a fault, and there once.
  add_behind(present, {std::max(there.first, offset_), there.end});
  offset_ = std::max(offset_, there.end);
}

void chain_walk::finish() {
  go_on_to(log_index{end_.index.value + 1}, end_offset_);
  if (offset_ != end_offset_)
    faults_.add("the log ends before message " + std::to_string(offset_.value) +
                ", the state before message " + std::to_string(end_offset_.value));
}

} // namespace

// ---- auditor -----------------------------------------------------------------------------------

namespace {

offset_set dead_of(const group_snapshot& group) {
  offset_set dead;
  for (const auto& each : group.dead_letters)
    add_behind(dead, just(each.first));
  return dead;
}
/// What the group has not settled of the messages before `end`.
offset_set needed_by(const group_snapshot& group, message_offset end) {
  return without(to_set({{std::max(group.start, group.floor), end}}), to_set(group.settled));
}

} // namespace

struct auditor::impl {
  /// A group when all dead letters had been told.
  struct later_group {
    offset_set dead;
    offset_set needed;
  };
  std::optional<std::map<std::string, later_group>> later;
  audit_basis basis;
  fault_list faults;
  chain_walk walk;
  std::map<std::string, std::vector<message_offset>> dead_letters;

  impl(audit_basis b, dropped_books dropped)
      : basis{std::move(b)}, faults{partition_name(basis.topic, basis.partition.number)},
        walk{basis.partition, basis.state.at, basis.state.next_offset, std::move(dropped), faults} {
  }

  audited_group draw_up(const group_snapshot& group);
  void check_dead_letters(const group_snapshot& group, const offset_set& needed,
                          audited_group& books);
  void check_held(const std::string& group, const offset_set& needed, audited_group& books);
  void fault(const std::string& group, const offset_set& ranges, const std::string& what);
};

void auditor::impl::fault(const std::string& group, const offset_set& ranges,
                          const std::string& what) {
  for (const auto& each : ranges)
    faults.add("group '" + group + "': " + to_text(each) + ": " + what);
}

/// Compares what the store holds for a group with what the state says it holds.
void auditor::impl::check_dead_letters(const group_snapshot& group, const offset_set& needed,
                                       audited_group& books) {
  std::vector<offset_range> stored;
  if (const auto found = dead_letters.find(group.group); found != dead_letters.end())
    for (const auto each : found->second)
      stored.push_back(just(each));
  const auto stored_set = to_set(stored), expected = dead_of(group);
  auto missing = without(expected, stored_set), extra = without(stored_set, expected);
  if (later) {
    const auto now = later->find(group.group);
    const auto held = now == later->end() ? offset_set{} : now->second.dead;
    const auto still_needed = now == later->end() ? offset_set{} : now->second.needed;
    auto unsettled = needed; // at the basis; what came after it was as well
    add_behind(unsettled, {basis.state.next_offset,
                           message_offset{std::numeric_limits<std::uint64_t>::max()}});
    const auto died = without(common(extra, unsettled), still_needed);
    const auto left = without(missing, held);
    extra = without(extra, died);
    missing = without(missing, left);
    books.dead += size(left); // they were there at the basis
  }
  fault(group.group, missing, "the dead letter is missing in the store");
  fault(group.group, extra, "the store has a dead letter that the group does not know");
  if (size(stored_set) != stored.size())
    faults.add("group '" + group.group + "': the store told a dead letter twice");
  books.dead += size(common(stored_set, expected)) + size(extra);
  if (group.counts.dead != books.dead + books.redriven + books.purged)
    faults.add("group '" + group.group + "': " + std::to_string(group.counts.dead) +
               " messages became dead letters, but " + std::to_string(books.dead) + " are held, " +
               std::to_string(books.redriven) + " were redriven and " +
               std::to_string(books.purged) + " purged");
}

/// Counts what is out and what waits, and what of the needed messages is left: that is ready.
void auditor::impl::check_held(const std::string& group, const offset_set& needed,
                               audited_group& books) {
  offset_set out;
  for (const auto& held : basis.out) {
    if (held.group != group)
      continue;
    for (const auto* each : {&held.leased, &held.delayed}) {
      const auto ranges = to_set(*each);
      if (size(ranges) != size(*each))
        faults.add("group '" + group + "': a message is held twice");
      fault(group, common(out, ranges), "both out with a consumer and waiting");
      fault(group, without(ranges, needed), "held although it is settled");
      (each == &held.leased ? books.leased : books.delayed) += size(ranges);
      auto all = out;
      all.insert(all.end(), ranges.begin(), ranges.end());
      out = to_set(std::move(all));
    }
  }
  books.ready = size(without(common(needed, walk.present), out));
}

audited_group auditor::impl::draw_up(const group_snapshot& group) {
  const auto faults_before = faults.count();
  audited_group books;
  books.group = group.group;
  books.arrived = group.counts.arrived;
  books.acked = group.counts.acked;
  books.redriven = group.counts.redriven;
  books.purged = group.counts.purged;
  books.for_others = group.counts.for_others;
  books.expired = group.counts.expired;
  books.skipped = group.counts.skipped;
  books.reopened = group.counts.reopened;
  books.dropped_unread = group.counts.dropped_unread;
  const auto needed = needed_by(group, basis.state.next_offset);
  fault(group.group, without(needed, walk.present), "not settled, and no longer in the log");
  check_held(group.group, needed, books);
  check_dead_letters(group, needed, books);
  books.balances =
      faults.count() == faults_before &&
      books.arrived + books.reopened == books.acked + books.ready + books.leased + books.delayed +
                                            books.dead + books.redriven + books.purged +
                                            books.for_others + books.skipped + books.dropped_unread;
  return books;
}

auditor::auditor(audit_basis basis, dropped_books dropped)
    : impl_{std::make_unique<impl>(std::move(basis), std::move(dropped))} {}
auditor::~auditor() = default;
auditor::auditor(auditor&&) noexcept = default;

void auditor::entry(const struct entry& e) { impl_->walk.entry(e); }

void auditor::unreadable(const std::string& what) {
  impl_->faults.add("the log could not be read on: " + what);
}

void auditor::dead_letter(const std::string& group, message_offset offset) {
  impl_->dead_letters[group].push_back(offset);
}

void auditor::meanwhile(const partition_snapshot& later) {
  auto& groups = impl_->later.emplace();
  for (const auto& each : later.groups)
    groups[each.group] = {dead_of(each), needed_by(each, later.next_offset)};
}

audited_partition auditor::close() {
  auto& state = impl_->basis.state;
  auto& walk = impl_->walk;
  walk.finish();
  audited_partition books;
  books.partition = impl_->basis.partition;
  books.confirmed = state.confirmed;
  books.live = walk.live;
  books.dropped = walk.dropped;
  books.entries = walk.entries;
  books.at = state.at;
  bool groups_balance = true;
  for (const auto& group : state.groups) {
    impl_->dead_letters.try_emplace(group.group);
    books.groups.push_back(impl_->draw_up(group));
    groups_balance = groups_balance && books.groups.back().balances;
    impl_->dead_letters.erase(group.group);
  }
  for (const auto& [group, offsets] : impl_->dead_letters)
    impl_->faults.add("the store has " + std::to_string(offsets.size()) +
                      " dead letters of group '" + group + "', which does not exist");
  for (const auto& held : impl_->basis.out)
    if (std::ranges::find(state.groups, held.group, &group_snapshot::group) == state.groups.end())
      impl_->faults.add("messages are held by group '" + held.group + "', which does not exist");
  books.balances =
      impl_->faults.count() == 0 && groups_balance && books.confirmed == books.live + books.dropped;
  books.faults = impl_->faults.take();
  return books;
}

} // namespace waybill
