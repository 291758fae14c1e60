// The loop's half of a producer, as a whole: opening it in each session, what the node says it has,
// and every way to the end.
#include "net/client/producer_impl.hpp"

#include "net/client/wire_values.hpp"
#include "storage/assert.hpp"

#include <algorithm>
#include <utility>

namespace waybill {

using client_parts::outgoing_batch;
using client_parts::steady_clock;

namespace {
constexpr milliseconds open_pause_first{50};
constexpr milliseconds open_pause_max{2'000};
constexpr std::uint32_t partitions_max = 100'000; ///< more than any node has: nonsense
constexpr std::uint64_t number_max = 1ull << 62;  ///< nobody counts so far, and nothing wraps
} // namespace

// ---- sessions ---------------------------------------------------------------------------------

void producer::impl::session_up() {
  if (is_finished_)
    return;
  ++session_;
  calls_ = 0;
  open_pause_ = open_pause_first;
  reopen();
}

void producer::impl::session_down(const failure& why) {
  if (is_finished_)
    return;
  ++opening_; // no answer to the last one will come
  is_open_ = false;
  open_at_.reset();
  holder_.reset();
  for (auto& l : lanes_) {
    for (auto& b : l.queue)
      if (b->current_send != 0)
        b->last_error = why;
    rewind(l, 0, {});
  }
  pump_soon();
}

void producer::impl::refused(const failure& why) { fail_all(why); }

/// Sends nothing until the node has said again what it has.
void producer::impl::reopen() {
  is_open_ = false;
  for (auto& l : lanes_)
    rewind(l, 0, {});
  if (!open_at_)
    open_later(milliseconds{0});
}

void producer::impl::open_later(milliseconds pause) {
  ++opening_; // what is under way is answered in vain
  open_at_ = steady_clock::now() + pause;
  pump_soon();
}

// ---- opening ----------------------------------------------------------------------------------

void producer::impl::open_now() {
  open_at_.reset();
  auto* net = core_->net();
  if (!net || !net->is_up() || is_finished_)
    return; // `session_up` comes
  auto request = net->session().openProducerRequest();
  request.setTopic(topic_);
  request.setName(options_.name);
  request.setInstance(instance_);
  request.setTakeOver(take_over_);
  auto answer = net->timer().timeoutAfter(client_parts::to_kj(options_.retry.attempt_timeout),
                                          request.send());
  const auto asked = steady_clock::now();
  const auto id = ++opening_;
  net->tasks().add(answer.then(
      [self = shared_from_this(), id](auto&& response) {
        if (auto* heard = self->core_->net())
          heard->heard();
        if (id == self->opening_)
          self->opened(response.getOutcome());
      },
      [self = shared_from_this(), id, asked](kj::Exception&& e) {
        auto* lost = self->core_->net();
        if (id != self->opening_ || !lost || !lost->is_up())
          return;
        if (lost->last_heard() < asked)
          lost->suspect();
        self->open_refused(client_parts::to_failure(e), true);
      }));
}

void producer::impl::opened(wire::OpenProducerOutcome::Reader outcome) {
  if (is_finished_)
    return;
  if (outcome.which() == wire::OpenProducerOutcome::ERROR) {
    const auto refusal = client_parts::to_failure(outcome.getError());
    if (refusal.why.code == ec::unknown_producer && !take_over_) {
      take_over_ = true; // forgotten by the node: nobody holds the name
      was_forgotten_ = true;
      open_now();
      return;
    }
    open_refused(refusal.why, refusal.retry || retry_can_help(refusal.why.code));
    return;
  }
  if (outcome.which() != wire::OpenProducerOutcome::OK) {
    open_refused({ec::internal, "the node's answer is of a kind that this library does not know"},
                 false);
    return;
  }
  const auto ok = outcome.getOk();
  const auto last = ok.getLast();
  bool is_sane = last.size() > 0 && last.size() <= partitions_max &&
                 (!is_ready_ || last.size() >= lanes_.size());
  for (const auto told : last)
    is_sane = is_sane && told <= number_max;
  if (!is_sane) {
    fail_all({ec::internal, "the node says that topic '" + topic_ + "' has " +
                                std::to_string(last.size()) +
                                " partitions, or numbers in them, that cannot be: was it deleted "
                                "and made anew?"});
    return;
  }
  holder_ = ok.getProducer();
  take_over_ = false;
  open_pause_ = open_pause_first;
  take_over_lanes(ok);
  is_open_ = true;
  was_forgotten_ = false;
  pump_soon();
}

void producer::impl::take_out_of_service(capnp::List<wire::OutOfService>::Reader out) {
  for (auto& l : lanes_)
    l.out_of_service.reset();
  for (const auto each : out)
    if (each.getPartition() < lanes_.size())
      lanes_[each.getPartition()].out_of_service = client_parts::to_failure(each.getError()).why;
  if (lanes_[keyless_].out_of_service)
    next_keyless();
}

void producer::impl::take_over_lanes(wire::OpenProducerOutcome::Ok::Reader ok) {
  const auto last = ok.getLast();
  const auto messages = ok.getLastMessages();
  if (is_ready_) {
    {
      const std::lock_guard lock{mutex_};
      take_out_of_service(ok.getOutOfService());
    }
    for (std::uint32_t p = 0; p < lanes_.size(); ++p)
      if (!lanes_[p].out_of_service)
        resume_lane(p, batch_number{last[p]});
    const std::lock_guard lock{mutex_};
    limits_ = core_->net()->limits();
    return;
  }
  const std::lock_guard lock{mutex_};
  lanes_.resize(last.size());
  take_out_of_service(ok.getOutOfService());
  for (std::uint32_t p = 0; p < lanes_.size(); ++p) {
    first_last_.push_back(
        {batch_number{last[p]}, p < messages.size() ? messages[p] : 0, !lanes_[p].out_of_service});
    lanes_[p].known = lanes_[p].last = first_last_.back().number;
  }
  limits_ = core_->net()->limits();
  is_ready_ = true;
  changed_.notify_all();
}

void producer::impl::resume_lane(std::uint32_t partition, batch_number told) {
  auto& l = lanes_[partition];
  const bool has_forgotten = was_forgotten_ || told < l.confirmed;
  if (told < l.confirmed)
    core_->log("the node knows " + partition_name(topic_, partition) + " of producer '" +
               options_.name + "' up to batch " + std::to_string(told.value) + ", but " +
               std::to_string(l.confirmed.value) + " was confirmed: it has forgotten the producer");
  l.known = told;
  l.last = std::max(l.last, told);
  if (!has_forgotten)
    return;
  l.confirmed = told; // said once
  const auto all = l.queue;
  for (const auto& b : all) {
    if (b->open_ends == 0 || b->number <= told)
      continue; // never taken, or known to the node
    std::erase(l.queue, b);
    settle_failed(b,
                  {ec::too_old_to_know, "the node has forgotten this producer: whether the batch "
                                        "was committed before cannot be told"},
                  true);
  }
  l.next = 0;
}

void producer::impl::open_refused(const failure& why, bool retry) {
  if (!retry && why.code != ec::not_leader && why.code != ec::stopping) {
    fail_all(why);
    return;
  }
  for (auto& l : lanes_)
    for (auto& b : l.queue)
      b->last_error = why;
  {
    const std::lock_guard lock{mutex_};
    last_refusal_ = why;
  }
  open_later(open_pause_);
  open_pause_ = std::min(open_pause_ * 2, open_pause_max);
}

// ---- the ends ---------------------------------------------------------------------------------

/// Its room is free: before its callbacks, which may send.
void producer::impl::release(const outgoing_batch& b) {
  const std::lock_guard lock{mutex_};
  waiting_bytes_ -= b.message_bytes;
  waiting_messages_ -= b.messages.size();
  changed_.notify_all();
}

/// Nobody waits for it any more: after its callbacks, so that who flushes has heard of everything.
void producer::impl::count_out(const outgoing_batch& b) {
  const std::lock_guard lock{mutex_};
  const auto round = unsettled_.find(b.round);
  WAYBILL_ASSERT(round != unsettled_.end() && round->second > 0);
  if (--round->second == 0)
    unsettled_.erase(round);
  changed_.notify_all();
}

void producer::impl::guarded(const std::function<void()>& callback) const {
  try {
    callback();
  } catch (const std::exception& e) {
    core_->log(std::string{"a callback of the program threw: "} + e.what());
  } catch (...) {
    core_->log("a callback of the program threw");
  }
}

void producer::impl::settle_failed(const batch_handle& b, const failure& why, bool is_alarm) {
  b->is_settled = true;
  b->encoded = nullptr;
  release(*b);
  if (is_alarm)
    core_->log("gave up on " + std::to_string(b->messages.size()) + " message(s) to " +
               partition_name(topic_, b->partition) + " (" + std::string{to_string(why.code)} +
               "): " + why.detail);
  for (auto& each : b->messages) {
    if (is_alarm && options_.alarm)
      guarded([&] { options_.alarm(each.message, why); });
    if (each.done)
      guarded([&] { each.done(why, std::move(each.message)); });
  }
  if (b->done)
    guarded([&] { b->done(why); });
  b->messages.clear();
  count_out(*b);
}

std::vector<producer::impl::batch_handle> producer::impl::take_everything() {
  std::vector<batch_handle> all;
  const std::lock_guard lock{mutex_};
  for (auto& l : lanes_) {
    all.insert(all.end(), l.queue.begin(), l.queue.end());
    all.insert(all.end(), l.sealed.begin(), l.sealed.end());
    if (l.open)
      all.push_back(l.open);
    l.queue.clear();
    l.sealed.clear();
    l.open = nullptr;
    l.next = 0;
  }
  active_.clear();
  return all;
}

void producer::impl::fail_all(const failure& why) {
  if (is_finished_)
    return;
  is_open_ = false;
  ++opening_;
  open_at_.reset();
  if (auto* net = core_->net())
    net->remove(*this); // no session is of use to it any more
  {
    const std::lock_guard lock{mutex_};
    if (!final_)
      final_ = why;
    changed_.notify_all();
  }
  for (const auto& b : take_everything())
    settle_failed(b, why, true);
}

void producer::impl::finish(std::vector<leftover>& into, left_behind what) {
  if (std::exchange(is_finished_, true))
    return;
  if (auto* net = core_->net()) {
    net->remove(*this);
    if (holder_ && net->is_up())
      net->tasks().add(
          holder_->closeRequest().send().ignoreResult().catch_([](kj::Exception&&) {}));
  }
  holder_.reset();
  ++opening_;
  for (const auto& b : take_everything()) {
    const auto state = b->was_sent ? send_state::unknown : send_state::not_sent;
    if (what == left_behind::handed_back)
      for (const auto& each : b->messages)
        into.push_back({each.message, state});
    const failure why = b->was_sent
                            ? failure{ec::timed_out, "closed before it was confirmed: it may or "
                                                     "may not be in the log"}
                            : failure{ec::stopping, "closed before it was sent"};
    settle_failed(b, why, what == left_behind::nobody_asks);
  }
  waker_.reset();
}

} // namespace waybill
