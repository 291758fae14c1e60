// De-duplication. What is committed lies in one map by producer name; what the leader has appended
// and not yet seen committed lies beside it, in log order, and is looked at together with it.
#include "actors/rules/producers.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

namespace waybill {
namespace {

/// Replicated: what is known of one producer after the committed entries.
struct committed_producer {
  producer_epoch opened;
  std::uint64_t instance = 0; ///< 0: not known, nobody is taken for the holder
  wall_time last_used{};
  batch_number last;
  std::deque<remembered_batch> batches; ///< by number, ascending; the newest ones
};

struct pending_batch {
  batch_number number;
  hash128 hash;
  log_index entry;
  producer_epoch opened;
};

/// The leader's: what is in its log for one producer and not yet committed, in log order.
struct pending_producer {
  std::deque<producer_record> openings;
  std::deque<pending_batch> batches;
};

const remembered_batch* find_batch(const std::deque<remembered_batch>& batches,
                                   batch_number number) {
  const auto found = std::ranges::lower_bound(batches, number, {}, &remembered_batch::number);
  return found == batches.end() || found->number != number ? nullptr : &*found;
}

/// From the newest on: a repeat of what is on its way, of which there is little.
const pending_batch* find_batch(const std::deque<pending_batch>& batches, batch_number number) {
  const auto found = std::find_if(batches.rbegin(), batches.rend(),
                                  [number](const auto& each) { return each.number == number; });
  return found == batches.rend() ? nullptr : &*found;
}

std::string quoted(std::string_view producer) { return "producer '" + std::string{producer} + "'"; }

failure reused(const batch_claim& claim) {
  return {ec::number_reused,
          quoted(claim.producer) + " has sent batch " + std::to_string(claim.number.value) +
              " to this partition before, with other bytes: give a new batch a new number"};
}

} // namespace

struct producers::impl {
  producer_limits limits;
  std::map<std::string, committed_producer, std::less<>> committed;
  /// Who was unused for longest comes first. The names are the map's keys.
  std::set<std::pair<wall_time, std::string_view>> by_use;
  std::map<std::string, pending_producer, std::less<>> pending;
  /// At least every opening's number there was, and at most the index of the log's last entry.
  std::uint64_t highest = 0;

  const committed_producer* find(std::string_view producer) const {
    const auto found = committed.find(producer);
    return found == committed.end() ? nullptr : &found->second;
  }
  const pending_producer* find_pending(std::string_view producer) const {
    const auto found = pending.find(producer);
    return found == pending.end() ? nullptr : &found->second;
  }

  committed_producer& touch(std::string_view producer, wall_time stamped);
  void forget(std::string_view but, wall_time stamped);
  void record(committed_producer& into, const remembered_batch& batch) const;
  void settle_pending(std::string_view producer, log_index entry);
  void settle_pending(const producer_record& r);

  std::optional<producer_epoch> holder(std::string_view producer) const;
  batch_number last_number(std::string_view producer) const;
  batch_verdict judge_repeat(const batch_claim& claim) const;
};

// ---- replicated --------------------------------------------------------------------------------

/// Finds or begins a producer, and marks it used.
committed_producer& producers::impl::touch(std::string_view producer, wall_time stamped) {
  auto found = committed.find(producer);
  if (found == committed.end())
    found = committed.emplace(std::string{producer}, committed_producer{}).first;
  else
    by_use.erase({found->second.last_used, found->first});
  found->second.last_used = std::max(found->second.last_used, stamped);
  by_use.emplace(found->second.last_used, found->first);
  return found->second;
}

/// Keeps the bounds. `but` has just been used and stays.
void producers::impl::forget(std::string_view but, wall_time stamped) {
  const auto too_many = [&] { return committed.size() > limits.producers_max; };
  const auto too_old = [&](wall_time last_used) { return last_used + limits.age_max < stamped; };
  for (auto each = by_use.begin(); each != by_use.end() && (too_many() || too_old(each->first));) {
    if (each->second == but) {
      ++each;
      continue;
    }
    const auto gone = committed.find(each->second);
    each = by_use.erase(each); // before the name that it points to
    committed.erase(gone);
  }
}

void producers::impl::record(committed_producer& into, const remembered_batch& batch) const {
  const auto place =
      std::ranges::lower_bound(into.batches, batch.number, {}, &remembered_batch::number);
  if (place != into.batches.end() && place->number == batch.number)
    return; // the first one's receipt is out
  into.batches.insert(place, batch);
  into.last = std::max(into.last, batch.number);
  while (into.batches.size() > limits.remembered_batches)
    into.batches.pop_front();
}

void producers::impl::settle_pending(std::string_view producer, log_index entry) {
  const auto found = pending.find(producer);
  if (found == pending.end())
    return;
  auto& batches = found->second.batches;
  if (!batches.empty() && batches.front().entry <= entry) {
    WAYBILL_ASSERT(batches.front().entry == entry); // committed entries are applied one by one
    batches.pop_front();
  }
  if (batches.empty() && found->second.openings.empty())
    pending.erase(found);
}

void producers::impl::settle_pending(const producer_record& r) {
  const auto found = pending.find(r.producer);
  if (found == pending.end())
    return;
  auto& openings = found->second.openings;
  if (!openings.empty() && openings.front().opened <= r.opened) {
    WAYBILL_ASSERT(openings.front() == r);
    openings.pop_front();
  }
  if (openings.empty() && found->second.batches.empty())
    pending.erase(found);
}

producers::producers(const producer_limits& limits, const partition_snapshot& from)
    : impl_{std::make_unique<impl>()} {
  impl_->limits = limits;
  // An opening's number is at most its entry's index: see `judge_opening`.
  impl_->highest = from.at.index.value;
  for (const auto& each : from.producers) {
    const auto [place, is_new] = impl_->committed.emplace(
        each.producer,
        committed_producer{each.opened, each.instance, each.last_used, each.last,
                           std::deque<remembered_batch>(each.batches.begin(), each.batches.end())});
    WAYBILL_ASSERT(is_new);
    impl_->by_use.emplace(each.last_used, place->first);
    impl_->highest = std::max(impl_->highest, each.opened.value);
  }
}

producers::~producers() = default;
producers::producers(producers&&) noexcept = default;
producers& producers::operator=(producers&&) noexcept = default;

void producers::apply(const batch_claim& claim, const log_position& entry, message_offset first,
                      std::uint32_t messages, wall_time stamped) {
  impl_->settle_pending(claim.producer, entry.index);
  const bool is_known = impl_->find(claim.producer) != nullptr;
  auto& producer = impl_->touch(claim.producer, stamped);
  producer.opened = std::max(producer.opened, claim.opened);
  impl_->record(producer, {claim.number, claim.hash, entry, first, messages});
  if (!is_known)
    impl_->forget(claim.producer, stamped);
}

void producers::apply(const producer_record& r, wall_time stamped) {
  impl_->settle_pending(r);
  impl_->highest = std::max(impl_->highest, r.opened.value);
  auto& producer = impl_->touch(r.producer, stamped);
  if (r.opened > producer.opened) {
    producer.opened = r.opened;
    producer.instance = r.instance;
  }
  impl_->forget(r.producer, stamped);
}

void producers::snapshot(partition_snapshot& into) const {
  into.producers.clear();
  into.producers.reserve(impl_->committed.size());
  for (const auto& [name, each] : impl_->committed)
    into.producers.push_back({name,
                              each.opened,
                              each.instance,
                              each.last_used,
                              each.last,
                              {each.batches.begin(), each.batches.end()}});
}

// ---- the leader --------------------------------------------------------------------------------

/// Who may publish now, by the newest opening in the log; none: nobody has opened it, or it is
/// forgotten.
std::optional<producer_epoch> producers::impl::holder(std::string_view producer) const {
  std::optional<producer_epoch> newest;
  if (const auto* known = find(producer))
    newest = known->opened;
  if (const auto* waiting = find_pending(producer)) {
    // A batch in the log keeps its producer although it may have been forgotten since.
    if (!waiting->batches.empty())
      newest = std::max(newest, std::optional{waiting->batches.back().opened});
    if (!waiting->openings.empty())
      newest = std::max(newest, std::optional{waiting->openings.back().opened});
  }
  return newest;
}

batch_number producers::impl::last_number(std::string_view producer) const {
  batch_number highest_taken;
  if (const auto* known = find(producer))
    highest_taken = known->last;
  if (const auto* waiting = find_pending(producer); waiting && !waiting->batches.empty())
    highest_taken = std::max(highest_taken, waiting->batches.back().number);
  return highest_taken;
}

/// A number that is not above the last one: answered as the first time, or not at all.
batch_verdict producers::impl::judge_repeat(const batch_claim& claim) const {
  if (const auto* known = find(claim.producer)) {
    if (const auto* batch = find_batch(known->batches, claim.number)) {
      if (batch->hash != claim.hash)
        return reused(claim);
      return already_committed{*batch};
    }
  }
  if (const auto* waiting = find_pending(claim.producer)) {
    if (const auto* batch = find_batch(waiting->batches, claim.number)) {
      if (batch->hash != claim.hash)
        return reused(claim);
      return already_appended{batch->entry};
    }
  }
  return failure{ec::too_old_to_know,
                 "batch " + std::to_string(claim.number.value) + " of " + quoted(claim.producer) +
                     " is older than the " + std::to_string(limits.remembered_batches) +
                     " batches that this partition remembers (producers.remembered-batches): "
                     "whether it was committed cannot be told"};
}

batch_verdict producers::judge(const batch_claim& claim) const {
  if (claim.number == batch_number{} || claim.previous >= claim.number)
    return failure{ec::bad_argument, "batch number " + std::to_string(claim.number.value) +
                                         " after " + std::to_string(claim.previous.value) + " of " +
                                         quoted(claim.producer) + ": numbers begin at 1 and grow"};
  const auto holder = impl_->holder(claim.producer);
  if (holder && claim.opened < *holder)
    return failure{ec::fenced,
                   quoted(claim.producer) +
                       " has been opened by somebody else since: only the newest holder "
                       "may publish"};
  if (!holder || claim.opened > *holder)
    return failure{ec::unknown_producer,
                   quoted(claim.producer) +
                       " is not open in this partition, or was forgotten: open it again"};
  const auto last = impl_->last_number(claim.producer);
  if (claim.number <= last)
    return impl_->judge_repeat(claim);
  if (claim.previous != last)
    return failure{ec::out_of_order, "batch " + std::to_string(claim.number.value) + " of " +
                                         quoted(claim.producer) + " follows batch " +
                                         std::to_string(claim.previous.value) +
                                         ", but the last one of it in this partition is " +
                                         std::to_string(last.value) + ": resend in order"};
  return take_it{};
}

void producers::appended(const batch_claim& claim, log_index entry) {
  auto place = impl_->pending.find(claim.producer);
  if (place == impl_->pending.end())
    place = impl_->pending.emplace(std::string{claim.producer}, pending_producer{}).first;
  auto& batches = place->second.batches;
  WAYBILL_ASSERT(batches.empty() || batches.back().entry < entry);
  batches.push_back({claim.number, claim.hash, entry, claim.opened});
}

opening_verdict producers::judge_opening(const std::string& producer, std::uint64_t instance,
                                         bool take_over) const {
  if (instance == 0)
    return failure{ec::bad_argument,
                   quoted(producer) + " was opened with instance 0: it must be a random number"};
  const append_opening opening{{producer, producer_epoch{impl_->highest + 1}, instance}};
  if (take_over)
    return opening;
  const auto* known = impl_->find(producer);
  const auto* waiting = impl_->find_pending(producer);
  if (waiting && !waiting->openings.empty()) {
    // Its number may only be told once it is committed: if this leader fell before, the next one
    // might give the same number to somebody else. So the holder gets a further one, and waits.
    if (waiting->openings.back().instance == instance)
      return opening;
  } else if (known && known->instance == instance) {
    return still_holder{known->opened};
  }
  if (!impl_->holder(producer))
    return failure{ec::unknown_producer,
                   quoted(producer) +
                       " is not open in this partition, or was forgotten: open it anew"};
  return failure{ec::fenced, quoted(producer) + " has been opened by somebody else since"};
}

void producers::appended(const producer_record& r) {
  WAYBILL_ASSERT(std::optional{r.opened} > impl_->holder(r.producer)); // it fences what was before
  impl_->highest = std::max(impl_->highest, r.opened.value);
  impl_->pending[r.producer].openings.push_back(r);
}

std::size_t producers::count() const { return impl_->committed.size(); }

batch_number producers::last_number(std::string_view producer) const {
  return impl_->last_number(producer);
}

last_batch producers::last(std::string_view producer) const {
  last_batch answer{impl_->last_number(producer), 0};
  if (const auto* known = impl_->find(producer))
    if (const auto* batch = find_batch(known->batches, answer.number))
      answer.messages = batch->message_count;
  return answer;
}

} // namespace waybill
