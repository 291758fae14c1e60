// The loop's half of a producer, per partition: take over sealed batches, number and send them in
// order, judge the answers, send again, give up. Why this neither doubles nor loses:
// producer_impl.hpp.
#include "net/client/producer_impl.hpp"

#include "net/client/wire_values.hpp"
#include "storage/assert.hpp"

#include <algorithm>
#include <utility>

namespace waybill {

using client_parts::outgoing_batch;
using client_parts::steady_clock;

namespace {

/// Before a look for another leader, or a resend in order: no attempt, so it can be short.
constexpr milliseconds look_again{50};

/// The node is, or will be, another one: that is looking for a leader, and no attempt.
bool is_searching(ec code) {
  switch (code) {
  case ec::not_leader:
  case ec::partition_offline:
  case ec::stopping:
  case ec::unreachable:
    return true;
  default:
    return false;
  }
}

/// The node judged the batch before it took it: this send put nothing into the log.
bool is_surely_not_taken(ec code) {
  switch (code) {
  case ec::overloaded:
  case ec::disk_full:
  case ec::partition_offline:
  case ec::unknown_topic:
  case ec::unknown_partition:
  case ec::bad_argument:
  case ec::message_too_large:
  case ec::batch_too_large:
  case ec::malformed_batch:
  case ec::fenced:
  case ec::out_of_order:
  case ec::unknown_producer:
  case ec::rejected:
  case ec::extension_failed:
    return true;
  default:
    return false;
  }
}

/// Nothing that this producer sends will be taken any more.
bool ends_the_producer(ec code) {
  return code == ec::fenced || code == ec::unknown_topic || code == ec::not_allowed;
}

/// How long a batch that cannot be sent goes on gathering.
constexpr milliseconds gather_max{10};

} // namespace

// ---- the pump ---------------------------------------------------------------------------------

void producer::impl::pump_soon() {
  auto* net = core_->net();
  if (is_finished_ || !net || std::exchange(pump_scheduled_, true))
    return;
  net->tasks().add(kj::evalLater([self = shared_from_this()] { self->pump(); }));
}

void producer::impl::pump() {
  pump_scheduled_ = false;
  auto* net = core_->net();
  if (is_finished_ || !net)
    return;
  const auto now = steady_clock::now();
  for (const auto partition : std::vector<std::uint32_t>(active_.begin(), active_.end()))
    expire(partition, now);
  if (is_finished_)
    return; // a callback closed it
  // Behind that, for what is gone may have blocked what gathers.
  const auto linger_due = collect(now);
  if (open_at_ && *open_at_ <= now)
    open_now();
  if (is_open_)
    send_all(now);
  if (const auto wake = next_wake(linger_due); wake != steady_time::max())
    waker_->at(wake);
}

/// Takes over what callers sealed, and seals what has lingered. @returns when the next one has
producer::impl::steady_time producer::impl::collect(steady_time now) {
  auto wake = steady_time::max();
  const std::lock_guard lock{mutex_};
  pump_posted_ = false;
  active_.insert(touched_.begin(), touched_.end());
  touched_.clear();
  for (auto each = active_.begin(); each != active_.end();) {
    auto& l = lanes_[*each];
    collect_lane(l, *each, now, wake);
    each = l.queue.empty() && !l.open ? active_.erase(each) : std::next(each);
  }
  return wake;
}

void producer::impl::collect_lane(lane& l, std::uint32_t partition, steady_time now,
                                  steady_time& wake) {
  l.is_blocked = l.queue.size() >= options_.batches_in_flight_max;
  if (l.is_blocked && partition == keyless_)
    next_keyless();
  if (l.open) {
    // What could not be sent yet goes on gathering; an answer comes by here. Not for long, for the
    // oldest message's time is that of the batch.
    const auto due =
        l.open->accepted + (l.is_blocked ? std::max(options_.linger, gather_max) : options_.linger);
    // Somebody waits for this one: with nothing under way there is nothing to wait for.
    const bool is_urgent = l.in_a_hurry && l.queue.empty() && l.sealed.empty();
    if (due <= now || is_urgent)
      seal(l.open->partition);
    else
      wake = std::min(wake, due);
  }
  while (!l.sealed.empty()) {
    l.queue.push_back(std::move(l.sealed.front()));
    l.sealed.pop_front();
  }
}

producer::impl::steady_time producer::impl::next_wake(steady_time linger_due) const {
  auto wake = linger_due;
  if (open_at_)
    wake = std::min(wake, *open_at_);
  for (const auto partition : active_) {
    const auto& l = lanes_[partition];
    if (l.queue.empty())
      continue;
    wake = std::min(wake, l.queue.front()->accepted + options_.retry.delivery_timeout);
    if (l.next < l.queue.size() && l.retry_at > steady_clock::now())
      wake = std::min(wake, l.retry_at);
    for (std::size_t i = 0; i < l.next; ++i)
      if (l.queue[i]->current_send != 0)
        wake = std::min(wake, l.queue[i]->sent_at + options_.retry.attempt_timeout);
  }
  return wake;
}

/// Time-outs: of the delivery, and of single sends.
void producer::impl::expire(std::uint32_t partition, steady_time now) {
  auto& l = lanes_[partition];
  while (!l.queue.empty() && l.queue.front()->accepted + options_.retry.delivery_timeout <= now) {
    const auto b = l.queue.front();
    give_up(l, b, expired_failure(*b));
  }
  for (std::size_t i = 0; i < l.next && i < l.queue.size();) {
    const auto b = l.queue[i];
    if (b->current_send == 0 || b->sent_at + options_.retry.attempt_timeout > now) {
      ++i;
      continue;
    }
    // Its answer is welcome however late it comes; it has had its time, though.
    b->last_error = {ec::timed_out, "no answer within " +
                                        std::to_string(options_.retry.attempt_timeout.count()) +
                                        " ms"};
    if (auto* net = core_->net(); net && net->last_heard() < b->sent_at)
      net->suspect();
    retry_or_give_up(l, b, now); // takes it, and all behind it, out of what is under way
  }
}

failure producer::impl::expired_failure(const outgoing_batch& b) const {
  const auto span = std::to_string(options_.retry.delivery_timeout.count()) + " ms";
  const auto* net = core_->net();
  const auto trouble = net ? net->trouble() : std::string{};
  if (!b.was_sent && b.last_error.code != ec::none)
    return {b.last_error.code, "not sent within " + span + ": " + b.last_error.detail};
  if (!b.was_sent)
    return {trouble.empty() ? ec::timed_out : ec::unreachable,
            "not sent within " + span + (trouble.empty() ? std::string{} : ": " + trouble)};
  auto last = b.last_error.code == ec::none ? trouble : b.last_error.detail;
  return {b.last_error.code == ec::none ? ec::timed_out : b.last_error.code,
          "sent " + std::to_string(b.sends) + " times and not confirmed within " + span +
              (last.empty() ? std::string{} : ": " + last)};
}

// ---- sending ----------------------------------------------------------------------------------

/// From another lane on each time, so that a node's bound on calls starves none.
void producer::impl::send_all(steady_time now) {
  const auto calls_max = core_->net()->limits().in_flight_max;
  // Never more than the node remembers: it must know every one of them when it is sent again.
  const auto batches_max =
      std::min(options_.batches_in_flight_max, core_->net()->limits().remembered_batches);
  std::vector<std::uint32_t> order(active_.lower_bound(send_from_), active_.end());
  order.insert(order.end(), active_.begin(), active_.lower_bound(send_from_));
  for (const auto partition : order) {
    auto& l = lanes_[partition];
    if (l.out_of_service)
      for (const auto& b : l.queue)
        b->last_error = *l.out_of_service;
    if (l.retry_at > now || l.out_of_service)
      continue;
    while (l.next < l.queue.size() && l.next < batches_max) {
      if (calls_ >= calls_max) {
        send_from_ = partition;
        return;
      }
      send(l, l.next++, now);
    }
  }
}

void producer::impl::number(lane& l, std::size_t at) {
  auto& b = *l.queue[at];
  if (b.number == batch_number{})
    b.number = batch_number{l.last.value + 1};
  l.last = std::max(l.last, b.number);
  const auto before = at > 0 ? l.queue[at - 1]->number : batch_number{};
  if (b.number > l.known)
    b.previous = std::max(l.known, before); // what the node has when this one's turn comes
  else if (!b.was_sent)
    b.previous = before < b.number ? before : batch_number{}; // a repeat, of an earlier process
  WAYBILL_ASSERT(b.previous < b.number);
}

kj::Array<const kj::byte> producer::impl::encode(const outgoing_batch& b) {
  const auto bytes = b.words * sizeof(capnp::word);
  const bool is_wanted = options_.compression == compression::zstd && !b.is_numbered &&
                         bytes >= options_.compress_from_bytes;
  if (is_wanted && !compressor_)
    compressor_.emplace(options_.compression_level);
  return client_parts::pack_batch(client_parts::encode_batch(b.messages, b.words),
                                  is_wanted ? &*compressor_ : nullptr);
}

void producer::impl::send(lane& l, std::size_t at, steady_time now) {
  const auto b = l.queue[at];
  number(l, at);
  if (b->encoded.size() == 0)
    b->encoded = encode(*b);
  b->was_sent = true;
  b->sent_at = now;
  b->current_send = ++sends_;
  ++b->sends;
  ++b->open_ends;
  ++calls_;
  auto request =
      holder_->publishRequest(capnp::MessageSize{b->encoded.size() / sizeof(capnp::word) + 32, 1});
  request.setPartition(b->partition);
  request.setNumber(b->number.value);
  request.setPrevious(b->previous.value);
  request.setBatch(b->encoded);
  const auto answered_one = [this, session = session_] {
    if (session == session_ && calls_ > 0)
      --calls_;
    if (auto* net = core_->net())
      net->heard();
  };
  core_->net()->tasks().add(request.send().then(
      [self = shared_from_this(), b, id = b->current_send, answered_one](auto&& response) {
        answered_one();
        self->answered(b, id, response.getOutcome());
        self->pump_soon();
      },
      [self = shared_from_this(), b, id = b->current_send, answered_one](kj::Exception&& e) {
        // With the connection gone, `session_down` sees to it.
        if (client_parts::is_disconnect(e))
          return;
        answered_one();
        if (!b->is_settled && id == b->current_send)
          self->turned_down(b, client_parts::to_failure(e), true);
        self->pump_soon();
      }));
}

// ---- answers ----------------------------------------------------------------------------------

std::optional<std::size_t> producer::impl::place_of(const lane& l, const batch_handle& b) {
  const auto found = std::ranges::find(l.queue, b);
  if (found == l.queue.end())
    return std::nullopt;
  return static_cast<std::size_t>(found - l.queue.begin());
}

void producer::impl::answered(const batch_handle& b, std::uint64_t send_id,
                              wire::PublishOutcome::Reader outcome) {
  if (b->is_settled)
    return; // it was answered before, or given up
  if (outcome.which() == wire::PublishOutcome::OK) {
    confirm(b, outcome.getOk());
    return;
  }
  client_parts::wire_failure refusal{
      {ec::internal, "the node's answer is of a kind that this library does not know"}, true};
  if (outcome.which() == wire::PublishOutcome::ERROR)
    refusal = client_parts::to_failure(outcome.getError());
  if (is_surely_not_taken(refusal.why.code))
    --b->open_ends;
  if (send_id == b->current_send) // of an earlier send: a later one will tell
    turned_down(b, refusal.why, refusal.retry);
}

void producer::impl::confirm(const batch_handle& b, wire::PublishOutcome::Ok::Reader ok) {
  auto& l = lanes_[b->partition];
  const auto place = place_of(l, b);
  WAYBILL_ASSERT(place); // what is not settled is in its queue
  l.queue.erase(l.queue.begin() + static_cast<std::ptrdiff_t>(*place));
  if (*place < l.next)
    --l.next;
  l.known = std::max(l.known, b->number);
  l.confirmed = std::max(l.confirmed, b->number);
  release(*b);
  b->is_settled = true;
  b->encoded = nullptr;
  receipt r{topic_, b->partition, {}, client_parts::to_position(ok.getEntry())};
  const auto first = ok.getFirstOffset();
  std::vector<receipt> all;
  if (b->is_numbered)
    all.reserve(b->messages.size());
  for (std::size_t i = 0; i < b->messages.size(); ++i) {
    r.offset = message_offset{first + i};
    auto& each = b->messages[i];
    if (b->is_numbered)
      all.push_back(r);
    else if (each.done)
      guarded([&] { each.done(r, std::move(each.message)); });
  }
  if (b->done)
    guarded([&] { b->done(std::move(all)); });
  b->messages.clear();
  count_out(*b);
}

void producer::impl::turned_down(const batch_handle& b, const failure& why, bool retry) {
  auto& l = lanes_[b->partition];
  const auto place = place_of(l, b);
  WAYBILL_ASSERT(place);
  const auto now = steady_clock::now();
  b->last_error = why;
  if (ends_the_producer(why.code)) {
    fail_all(why);
  } else if (why.code == ec::unknown_producer) {
    rewind(l, 0, now + look_again);
    reopen();
  } else if (why.code == ec::out_of_order && *place > 0) {
    rewind(l, 0, now + look_again); // its predecessor did not arrive: in order, from the first
  } else if (why.code == ec::out_of_order) {
    // The node has another last number than we were told: ask again. It is an attempt.
    const auto wait = b->attempts > 0 ? options_.retry.interval : milliseconds{0};
    reopen();
    retry_or_give_up(l, b, now + wait);
  } else if (is_searching(why.code)) {
    rewind(l, *place, now + look_again);
  } else if (retry || retry_can_help(why.code)) {
    retry_or_give_up(l, b, now + options_.retry.interval);
  } else {
    give_up(l, b, why);
  }
}

/// Nothing from `from` on is under way any more; answers to it still count, errors do not.
void producer::impl::rewind(lane& l, std::size_t from, steady_time when) {
  for (auto i = from; i < l.queue.size(); ++i)
    l.queue[i]->current_send = 0;
  l.next = std::min(l.next, from);
  l.retry_at = std::max(l.retry_at, when);
}

void producer::impl::retry_or_give_up(lane& l, const batch_handle& b, steady_time when) {
  if (++b->attempts > options_.retry.retries) {
    auto why = b->last_error;
    why.detail = "given up after " + std::to_string(b->attempts) + " attempts: " + why.detail;
    give_up(l, b, std::move(why));
    return;
  }
  rewind(l, *place_of(l, b), when);
}

void producer::impl::give_up(lane& l, const batch_handle& b, failure why) {
  const auto place = place_of(l, b);
  WAYBILL_ASSERT(place);
  l.queue.erase(l.queue.begin() + static_cast<std::ptrdiff_t>(*place));
  if (*place < l.next)
    --l.next;
  // Those behind it named it as what comes before them: whether it is there, an opening tells.
  if (b->was_sent && b->number > l.known)
    reopen();
  settle_failed(b, why, true);
}

} // namespace waybill
