// The delivery rules of one partition: its groups side by side, what they have settled in common,
// and whom each call concerns. See the header; what one group does is in group.cpp and
// dispatch.cpp.
#include "actors/rules/delivery.hpp"

#include "actors/rules/dispatch.hpp"
#include "actors/rules/gathering.hpp"
#include "actors/rules/group.hpp"
#include "actors/rules/offset_set.hpp"
#include "storage/assert.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace waybill {

struct delivery::impl {
  struct member {
    group state;
    dispatch leading;
  };

  delivery_limits bounds;
  message_offset next;
  std::map<std::string, member, std::less<>> groups; ///< members never move
  std::vector<addressed_range> addressed;            ///< ascending
  offset_set settled_by_all;
  timed_messages timed;
  std::optional<message_offset> kept_from; ///< retention: settled messages behind it stay

  // The leader's.
  bool begun = false;
  gathering gathered;
  std::map<consumer_id, member*> consumers;
  std::vector<consumer_id> ended;
  std::size_t seeks_appended = 0; ///< by this leader, and not applied
  std::set<message_offset> wanted;
  std::string last_group; ///< the last that something went out to: the one after it comes first

  member* find(std::string_view group) {
    const auto found = groups.find(group);
    return found == groups.end() ? nullptr : &found->second;
  }
  member* of(consumer_id who) {
    const auto found = consumers.find(who);
    return found == consumers.end() ? nullptr : found->second;
  }
  /// What every group has settled and is in the log.
  [[nodiscard]] offset_set settled_in_common() const;
  /// What of a set may be gone: no group gets it again.
  [[nodiscard]] offset_set not_kept(offset_set some) const;
  /// Before a group gets what others have settled: what may be gone is settled for good.
  void settle_for_good();
  void prune_addressed();
  [[nodiscard]] bool is_settled_for_good(message_offset offset) const;
  void forget_times(offset_range settled);
  void create(const group_record& r, const moment& now);
  void remove(const group_record& r);
  void seek(const group_record& r, const moment& now);
  /// @returns the dead letters that are held from now on
  std::vector<message_offset> apply(const group_changes& what, dispatch::origin from,
                                    const moment& now);
};

// ---- replicated ---------------------------------------------------------------------------------

delivery::delivery(const delivery_limits& limits, const partition_snapshot& from)
    : impl_{std::make_unique<impl>()} {
  impl_->bounds = limits;
  impl_->next = from.next_offset;
  impl_->addressed = from.addressed;
  impl_->settled_by_all = offset_set{from.settled_by_all};
  impl_->timed = from.timed;
  impl_->kept_from = from.kept_from;
  for (const auto& each : from.groups)
    impl_->groups.emplace(each.group, impl::member{group{each}, dispatch{limits, impl_->timed}});
}
delivery::~delivery() = default;
delivery::delivery(delivery&&) noexcept = default;
delivery& delivery::operator=(delivery&&) noexcept = default;

offset_set delivery::impl::settled_in_common() const {
  if (groups.empty())
    return settled_by_all;
  offset_set common;
  common.add(
      {message_offset{}, next}); // a start may lie ahead of the log; what comes is not settled
  for (const auto& [name, each] : groups)
    common = offset_set::intersection(common, each.state.settled());
  return common;
}

offset_set delivery::impl::not_kept(offset_set some) const {
  if (kept_from)
    some.remove({*kept_from, next});
  return some;
}

void delivery::impl::settle_for_good() {
  settled_by_all.unite(settled_in_common());
  settled_by_all = not_kept(std::move(settled_by_all));
}

/// What lies below every floor is settled everywhere: no group that comes later gets it.
void delivery::impl::prune_addressed() {
  if (addressed.empty() || groups.empty())
    return;
  auto lowest = kept_from.value_or(next);
  for (const auto& [name, each] : groups)
    lowest = std::min(lowest, each.state.floor());
  std::erase_if(addressed, [&](const auto& each) { return each.offsets.end <= lowest; });
}

bool delivery::impl::is_settled_for_good(message_offset offset) const {
  if (kept_from && offset >= *kept_from)
    return false;
  return groups.empty() ? settled_by_all.contains(offset)
                        : std::ranges::all_of(groups, [offset](const auto& each) {
                            return each.second.state.settled().contains(offset);
                          });
}

/// Of what no group gets any more.
void delivery::impl::forget_times(offset_range settled) {
  for (auto at = timed.lower_bound(settled.first); at != timed.end() && at->first < settled.end;)
    at = is_settled_for_good(at->first) ? timed.erase(at) : std::next(at);
}

void delivery::apply_messages(offset_range messages, const std::optional<std::string>& only) {
  WAYBILL_ASSERT(messages.first == impl_->next && messages.first <= messages.end);
  if (messages.first == messages.end)
    return;
  impl_->next = messages.end;
  for (auto& [name, each] : impl_->groups) {
    const bool own = !only || *only == name;
    each.state.arrive(messages, own ? meant_for::this_group : meant_for::others);
  }
  if (only) {
    auto& known = impl_->addressed;
    if (!known.empty() && known.back().group == *only && known.back().offsets.end == messages.first)
      known.back().offsets.end = messages.end;
    else
      known.push_back({messages, *only});
    impl_->prune_addressed();
  }
}

void delivery::apply_times(const timed_messages& times, const moment& now) {
  for (const auto& [offset, each] : times) {
    WAYBILL_ASSERT(offset < impl_->next);
    if (impl_->is_settled_for_good(offset)) // a start that lies ahead of the log
      continue;
    impl_->timed.emplace(offset, each);
    for (auto& [name, member] : impl_->groups)
      member.leading.arrived(member.state, offset, now);
  }
}

void delivery::impl::create(const group_record& r, const moment& now) {
  if (groups.contains(r.group))
    return;
  settle_for_good();
  auto [at, created] = groups.emplace(
      r.group, member{group{r, settled_by_all, addressed, next}, dispatch{bounds, timed}});
  if (begun) // no attempts to take over yet
    at->second.leading.begin(at->second.state, gathered, now, spread{0.5});
  forget_times({message_offset{}, next});
}

void delivery::impl::remove(const group_record& r) {
  const auto found = groups.find(r.group);
  if (found == groups.end())
    return;
  settled_by_all.unite(settled_in_common());
  for (const auto who : found->second.leading.consumers()) {
    consumers.erase(who);
    ended.push_back(who);
  }
  gathered.forget(r.group);
  groups.erase(found);
  forget_times({message_offset{}, next});
}

/// What every group has settled by now may be gone, whether or not it is; so none of it comes
/// again.
void delivery::impl::seek(const group_record& r, const moment& now) {
  if (seeks_appended > 0) // else it is another leader's
    --seeks_appended;
  auto* const member = find(r.group);
  if (!member)
    return;
  settle_for_good();
  auto& [state, leading] = *member;
  const auto again = state.seek(r.start, settled_by_all, addressed, next);
  const offset_range skipped{message_offset{}, std::min(r.start, next)};
  gathered.forget_below(r.group, skipped.end);
  leading.settled(skipped);
  forget_times(skipped);
  leading.begins_by(next);
  for (const auto& range : again)
    leading.reopened(state, range, now);
}

void delivery::apply(const group_record& r, const moment& now) {
  switch (r.action) {
  case group_action::create:
    impl_->create(r, now);
    break;
  case group_action::update:
    if (auto* const member = impl_->find(r.group)) {
      member->state.set_policy(r.policy);
      member->leading.policy_changed();
    }
    break;
  case group_action::remove:
    impl_->remove(r);
    break;
  case group_action::seek:
    impl_->seek(r, now);
    break;
  }
  impl_->prune_addressed();
}

/// What is not in the log is nobody's to settle; what is settled already stays as it is.
std::vector<message_offset> delivery::impl::apply(const group_changes& what, dispatch::origin from,
                                                  const moment& now) {
  auto* const member = find(what.group);
  if (!member)
    return {};
  std::vector<message_offset> buried;
  auto& [state, leading] = *member;
  for (auto range : what.acked) {
    range.end = std::min(range.end, next);
    if (range.first >= range.end)
      continue;
    state.ack(range);
    leading.settled(range);
    forget_times(range);
  }
  for (const auto& each : what.started) {
    if (each.offset >= next)
      continue;
    state.start(each);
    leading.started(state, each.offset, now);
  }
  for (const auto& each : what.failed) {
    if (each.offset >= next)
      continue;
    state.fail(each);
    leading.failed(state, each.offset, from, now);
  }
  for (const auto& each : what.dead) {
    if (each.offset >= next)
      continue;
    const auto one = just(each.offset);
    if (state.bury(each) == effect::changed)
      buried.push_back(each.offset);
    leading.settled(one);
    forget_times(one);
  }
  return buried;
}

std::vector<std::pair<std::string, message_offset>>
delivery::apply(const delivery_record& r, proposal_number own, const moment& now) {
  std::vector<std::pair<std::string, message_offset>> buried;
  const auto from = own.value != 0 ? dispatch::origin::own_proposal : dispatch::origin::elsewhere;
  for (const auto& each : r.groups) {
    for (const auto offset : impl_->apply(each, from, now))
      buried.emplace_back(each.group, offset);
  }
  impl_->prune_addressed();
  return buried;
}

std::vector<message_offset> delivery::apply(const redrive_record& r) {
  auto* const member = impl_->find(r.group);
  if (!member)
    return {};
  return member->state.release(r.dead_letters,
                               r.batch.empty() ? group::fate::purged : group::fate::redriven);
}

/// Nothing that is dropped comes again: `settled_by_all` says so to later groups and seeks.
void delivery::apply(const retention_record& r) {
  auto& me = *impl_;
  const offset_range dropped{message_offset{}, std::min(r.dropped_below, me.next)};
  for (auto& [name, each] : me.groups) {
    each.state.drop(dropped.end);
    me.gathered.forget_below(name, dropped.end);
    each.leading.settled(dropped);
  }
  me.settled_by_all.add(dropped);
  if (!r.kept_from)
    me.kept_from.reset();
  else if (!me.kept_from)
    me.kept_from = me.next;
  else
    me.kept_from = std::max({*me.kept_from, std::min(*r.kept_from, me.next), dropped.end});
  me.forget_times({message_offset{}, me.next});
  me.prune_addressed();
}

std::vector<message_offset> delivery::apply(const transfer_record& r, log_index at) {
  auto* const member = impl_->find(r.group);
  return member ? member->state.apply(r, at) : std::vector<message_offset>{};
}

void delivery::snapshot(partition_snapshot& into) const {
  into.groups.clear();
  for (const auto& [name, each] : impl_->groups)
    into.groups.push_back(each.state.snapshot());
  into.addressed = impl_->addressed;
  into.settled_by_all = impl_->settled_by_all.ranges();
  into.timed = impl_->timed;
  into.kept_from = impl_->kept_from;
}

std::vector<offset_range> delivery::needed() const {
  return impl_->not_kept(impl_->settled_in_common()).outside({message_offset{}, impl_->next});
}

// ---- the leader: groups -------------------------------------------------------------------------

bool delivery::has_group(std::string_view group) const { return impl_->find(group) != nullptr; }

result<void> delivery::check_create(const group_record& r, std::size_t others) const {
  if (impl_->groups.size() + others < impl_->bounds.groups_max || impl_->groups.contains(r.group))
    return {};
  return failure{ec::limit_reached, "This partition has " +
                                        std::to_string(impl_->groups.size() + others) +
                                        " groups, which is all that delivery.groups-max allows, "
                                        "so group " +
                                        r.group + " cannot be created: remove one first."};
}

std::size_t delivery::group_count() const { return impl_->groups.size(); }
std::size_t delivery::timed_count() const { return impl_->timed.size(); }
std::uint64_t delivery::unread_below(std::string_view group, message_offset end) const {
  const auto* const member = impl_->find(group);
  std::uint64_t unread = 0;
  if (member)
    for (const auto& open : member->state.settled().outside({message_offset{}, end}))
      unread += open.end.value - open.first.value;
  return unread;
}

std::optional<message_offset> delivery::kept_from() const { return impl_->kept_from; }

std::vector<std::string> delivery::group_names() const {
  std::vector<std::string> names;
  for (const auto& [name, each] : impl_->groups)
    names.push_back(name);
  return names;
}

std::optional<group_counts> delivery::counts_of(std::string_view group) const {
  const auto* const member = impl_->find(group);
  return member ? std::optional{member->state.counts()} : std::nullopt;
}

std::optional<group_fill> delivery::fill_of(std::string_view group) const {
  const auto* const member = impl_->find(group);
  if (!member)
    return std::nullopt;
  const auto& [state, leading] = *member;
  // What waits for a time of its own keeps a gap open, and is bounded by itself.
  const auto ranges = state.settled_ranges();
  const auto& counts = state.counts();
  group_fill fill;
  fill.settled_ranges = ranges - std::min<std::uint64_t>(ranges, impl_->timed.size());
  fill.waiting = state.attempts().size();
  fill.behind = leading.behind_count();
  fill.consumers = leading.consumer_count();
  fill.held_back = leading.held_back(state);
  fill.settled = counts.acked + counts.dead + counts.for_others + counts.skipped + counts.reopened;
  fill.unsettled = state.unsettled(impl_->next);
  fill.leased = leading.out_count();
  fill.due = fill.unsettled - leading.delayed_count();
  fill.dead_held = state.dead_held();
  fill.in_doubt = state.in_doubt();
  return fill;
}

const std::map<log_index, transfer_state>* delivery::transfers_of(std::string_view group) const {
  const auto* const member = impl_->find(group);
  return member ? &member->state.transfers() : nullptr;
}

std::optional<group_policy> delivery::policy_of(std::string_view group) const {
  const auto* const member = impl_->find(group);
  return member ? std::optional{member->state.policy()} : std::nullopt;
}

// ---- the leader: consumers ----------------------------------------------------------------------

result<void> delivery::join(const std::string& group, consumer_id who, std::string name,
                            std::uint32_t credit_messages, std::uint64_t credit_bytes) {
  auto* const member = impl_->find(group);
  if (!member)
    return failure{ec::unknown_group, "There is no group " + group + ": create it first."};
  if (auto* const other = impl_->of(who); other && other != member)
    return failure{ec::bad_argument, "This consumer belongs to group " + other->state.name() +
                                         " already: it has to leave it before it joins " + group +
                                         "."};
  auto joined =
      member->leading.join(member->state, who, std::move(name), credit_messages, credit_bytes);
  if (joined)
    impl_->consumers[who] = member;
  return joined;
}

void delivery::set_credit(consumer_id who, std::uint32_t messages, std::uint64_t bytes) {
  if (auto* const member = impl_->of(who))
    member->leading.set_credit(who, messages, bytes);
}

void delivery::leave(consumer_id who, leaving how, const moment& now, double random) {
  if (auto* const member = impl_->of(who)) {
    member->leading.leave(member->state, impl_->gathered, who, how, now, spread{random});
    impl_->consumers.erase(who);
  }
}

std::vector<consumer_id> delivery::take_ended() { return std::exchange(impl_->ended, {}); }

// ---- the leader: settling -----------------------------------------------------------------------

namespace {
/// A consumer that is not there holds nothing.
settling all_lost(std::span<const offset_range> ranges) {
  settling answer;
  std::ranges::copy_if(ranges, std::back_inserter(answer.lost),
                       [](const auto& each) { return each.first < each.end; });
  return answer;
}
} // namespace

settling delivery::ack(consumer_id who, std::span<const offset_range> ranges) {
  auto* const member = impl_->of(who);
  return member ? member->leading.ack(member->state, impl_->gathered, who, ranges)
                : all_lost(ranges);
}

settling delivery::nack(consumer_id who, message_offset offset, std::optional<milliseconds> delay,
                        std::string reason, const moment& now, double random, after_failure then) {
  auto* const member = impl_->of(who);
  const auto one = just(offset);
  return member ? member->leading.nack(member->state, impl_->gathered, who, offset, delay,
                                       std::move(reason), now, random, then)
                : all_lost({&one, 1});
}

std::optional<held_message> delivery::held(consumer_id who, message_offset offset) const {
  const auto* const member = impl_->of(who);
  if (!member)
    return std::nullopt;
  auto found = member->leading.held(who, offset);
  if (found)
    found->group = member->state.name();
  return found;
}

settling delivery::extend(consumer_id who, std::span<const offset_range> ranges, milliseconds lease,
                          const moment& now) {
  auto* const member = impl_->of(who);
  return member ? member->leading.extend(member->state, who, ranges, lease, now) : all_lost(ranges);
}

settling delivery::give_back(consumer_id who, std::span<const offset_range> ranges) {
  auto* const member = impl_->of(who);
  return member ? member->leading.give_back(member->state, who, ranges) : all_lost(ranges);
}

// ---- the leader: time, proposals, deliveries ----------------------------------------------------

void delivery::tick(const moment& now, double random) {
  for (auto& [name, each] : impl_->groups)
    each.leading.tick(each.state, impl_->gathered, now, spread{random});
}

std::optional<milliseconds> delivery::next_tick() const {
  std::optional<milliseconds> next;
  for (const auto& [name, each] : impl_->groups) {
    const auto due = each.leading.next_tick();
    if (due && (!next || *due < *next))
      next = due;
  }
  return next;
}

void delivery::appended(const group_record& r) {
  impl_->seeks_appended += r.action == group_action::seek;
}

bool delivery::may_propose() const { return impl_->seeks_appended == 0; }

std::optional<proposal> delivery::propose(const moment& now, double random) {
  if (!may_propose())
    return std::nullopt;
  for (auto& [name, each] : impl_->groups) {
    if (!impl_->begun)
      each.leading.begin(each.state, impl_->gathered, now, spread{random});
    each.leading.prepare(each.state, impl_->gathered, now);
  }
  impl_->begun = true;
  return impl_->gathered.next();
}

std::vector<delivery_order> delivery::deliver(const moment& now, const lookup& look,
                                              std::size_t most) {
  std::vector<delivery_order> orders;
  auto at = impl_->groups.upper_bound(impl_->last_group);
  for (std::size_t served = 0; served < impl_->groups.size() && orders.size() < most; ++served) {
    if (at == impl_->groups.end())
      at = impl_->groups.begin();
    const auto before = orders.size();
    at->second.leading.deliver(at->second.state, impl_->next, now, look, most - before, orders,
                               impl_->wanted);
    if (orders.size() > before)
      impl_->last_group = at->first;
    ++at;
  }
  return orders;
}

std::vector<message_offset> delivery::wanted() {
  const auto asked = std::exchange(impl_->wanted, {});
  return {asked.begin(), asked.end()};
}

// ---- for people and for the books ---------------------------------------------------------------

std::vector<group_view> delivery::views() const {
  std::vector<group_view> all;
  for (const auto& [name, each] : impl_->groups) {
    const auto& [state, leading] = each;
    group_view view;
    view.group = name;
    view.policy = state.policy();
    view.start = state.start_offset();
    view.floor = state.floor();
    view.leased = leading.out_count();
    view.delayed = leading.delayed_count();
    const auto unsettled = state.unsettled(impl_->next);
    WAYBILL_ASSERT(unsettled >= view.leased + view.delayed); // a message is in one place
    view.ready = unsettled - view.leased - view.delayed;
    view.counts = state.counts();
    view.dead_held = state.dead_held();
    view.consumers = leading.consumer_count();
    view.settled_ranges = state.settled_ranges();
    view.behind = leading.behind_count();
    view.held_back = leading.held_back(state);
    all.push_back(std::move(view));
  }
  return all;
}

std::vector<out_view> delivery::out() const {
  std::vector<out_view> all;
  for (const auto& [name, each] : impl_->groups)
    all.push_back({name, each.leading.out_ranges(), each.leading.delayed_ranges()});
  return all;
}

} // namespace waybill
