// The callers' half of a consumer, and its public face.
#include "net/client/consumer_impl.hpp"

#include "net/client/wire_values.hpp"

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace waybill {

using client_parts::core;
using client_parts::lifeline;
using client_parts::steady_clock;

namespace {

constexpr std::size_t ranges_of_a_call = 10'000; ///< the contract's bound
constexpr std::chrono::hours for_ever{24 * 365};

std::string default_name() {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0)
    host[0] = '\0';
  return std::string{host[0] ? host : "host"} + "-" + std::to_string(::getpid());
}

consume_options sane(consume_options o) {
  if (o.name.empty())
    o.name = default_name();
  o.credit_messages = std::max(o.credit_messages, 1u);
  o.credit_bytes = std::max<std::size_t>(o.credit_bytes, 1);
  o.threads = std::max(o.threads, 1u);
  return o;
}

} // namespace

message consumer_impl::make(const std::string& topic, std::uint32_t partition,
                            message_offset offset, client_parts::read_message&& content,
                            std::uint32_t attempt, wall_time published) {
  message m;
  m.topic_ = topic;
  m.partition_ = partition;
  m.offset_ = offset;
  m.key_ = std::move(content.key);
  m.headers_ = std::move(content.content_headers);
  m.body_ = std::move(content.body);
  m.attempt_ = attempt;
  m.published_ = published;
  return m;
}

consumer::impl::impl(std::shared_ptr<core> owner, std::shared_ptr<lifeline> line,
                     std::string topic_name, std::string group_name, consume_options chosen)
    : core_{std::move(owner)}, line_{std::move(line)}, topic_{std::move(topic_name)},
      group_{std::move(group_name)}, options_{sane(std::move(chosen))},
      last_taken_{steady_clock::now()}, last_message_{steady_clock::now()} {}

std::shared_ptr<consumer::impl>
consumer::impl::open(std::shared_ptr<core> owner, std::shared_ptr<lifeline> line,
                     const std::string& topic, const std::string& group, consume_options options) {
  owner->must_not_be_on_loop("subscribing");
  auto made = std::make_shared<impl>(owner, std::move(line), topic, group, std::move(options));
  const auto until = steady_clock::now() + owner->options.call_timeout;
  owner->post([made] {
    if (auto* net = made->core_->net())
      made->join(*net);
  });
  std::unique_lock lock{made->mutex_};
  made->changed_.wait_until(lock, until, [&made] { return made->is_ready_ || made->final_; });
  if (made->is_ready_ && !made->final_)
    return made;
  auto why = made->final_;
  const auto refusal = made->last_refusal_;
  lock.unlock();
  owner->run_there([&] {
    const auto trouble = owner->net() ? owner->net()->trouble() : std::string{};
    if (!why && trouble.empty() && refusal)
      why = refusal;
    if (!why)
      why = failure{trouble.empty() ? ec::timed_out : ec::unreachable,
                    "no subscription in time" + (trouble.empty() ? std::string{} : ": " + trouble)};
    made->finish();
  });
  const auto last_line = std::exchange(made->line_, nullptr);
  throw client_error{*why};
}

// ---- taking messages --------------------------------------------------------------------------

std::optional<message> consumer::impl::pop(steady_time now) {
  while (!queue_.empty()) {
    auto first = queue_.pop();
    const auto age = now - first.renewed_at;
    if (lease_.count() > 0 && age >= lease_)
      continue; // somebody else has it by now, or will: an ack would come too late
    last_message_ = now;
    if (lease_.count() > 0 && age > lease_ / 2)
      order({.kind = settling::extend,
             .partition = first.content.partition(),
             .ranges = {just(first.content.offset())},
             .reason = {}}); // whoever takes it has a whole lease, nearly
    return std::move(first.content);
  }
  return std::nullopt;
}

std::optional<message> consumer::impl::next(milliseconds patience) {
  if (patience.count() > 0)
    core_->must_not_be_on_loop("consumer::next with patience");
  const auto until =
      steady_clock::now() + std::clamp<steady_clock::duration>(patience, milliseconds{0}, for_ever);
  std::unique_lock lock{mutex_};
  ++takers_;
  std::optional<message> found;
  for (;;) {
    last_taken_ = steady_clock::now();
    if (is_interrupted_ || is_closed_)
      break;
    found = pop(last_taken_);
    if (found || final_)
      break;
    if (changed_.wait_until(lock, until) == std::cv_status::timeout && queue_.empty())
      break;
  }
  --takers_;
  last_taken_ = steady_clock::now();
  if (!found && final_ && !is_closed_ && !is_interrupted_)
    throw client_error{*final_};
  return found;
}

void consumer::impl::interrupt() {
  const std::lock_guard lock{mutex_};
  is_interrupted_ = true;
  changed_.notify_all();
}

bool consumer::impl::is_interrupted() const {
  const std::lock_guard lock{mutex_};
  return is_interrupted_;
}

void consumer::impl::begin_work(const message& m) {
  const std::lock_guard lock{mutex_};
  // Its lease may have run in the queue for a while: the keeper looks at it as if for half of one.
  worked_on_[{m.partition(), m.offset()}] = steady_clock::now() - lease_ / 2;
}

void consumer::impl::end_work(const message& m) {
  const std::lock_guard lock{mutex_};
  worked_on_.erase({m.partition(), m.offset()});
  last_message_ = steady_clock::now();
}

consumer::impl::steady_time consumer::impl::idle_since() const {
  const std::lock_guard lock{mutex_};
  if (!subscribed_at_ || !queue_.empty() || !worked_on_.empty())
    return steady_clock::now();
  return std::max(*subscribed_at_, last_message_);
}

std::uint64_t consumer::impl::committed() const {
  const std::lock_guard lock{mutex_};
  return committed_;
}

// ---- settling ---------------------------------------------------------------------------------
// What the caller settles may be in the queue once more: after a lease that ran out in the caller's
// hands, or after a new subscription. Settled is settled: it leaves the queue.

void consumer::impl::add_ack(const message& m, std::shared_ptr<std::promise<result<void>>> answer) {
  const std::lock_guard lock{mutex_};
  if (is_closed_ || final_) {
    const auto why = final_.value_or(failure{ec::stopping, "the consumer is closed"});
    ++lost_;
    if (answer)
      answer->set_value(why);
    return;
  }
  queue_.forget(m.partition(), m.offset());
  auto& bundles = acks_[m.partition()];
  if (bundles.empty() || bundles.back().ranges.size() >= ranges_of_a_call)
    bundles.emplace_back();
  auto& bundle = bundles.back();
  if (!bundle.ranges.empty() && bundle.ranges.back().end == m.offset())
    ++bundle.ranges.back().end.value;
  else
    bundle.ranges.push_back(just(m.offset()));
  ++bundle.acks;
  ++bundle.rounds[round_];
  ++unsettled_[round_];
  if (answer)
    bundle.waiters.push_back({m.offset(), std::move(answer)});
  if (!std::exchange(acks_posted_, true))
    core_->post([self = shared_from_this()] { self->send_acks(); });
}

void consumer::impl::ack(const message& m) { add_ack(m, nullptr); }

void consumer::impl::ack_and_wait(const message& m) {
  core_->must_not_be_on_loop("consumer::ack_and_wait");
  auto answer = std::make_shared<std::promise<result<void>>>();
  auto outcome = answer->get_future();
  add_ack(m, std::move(answer));
  if (outcome.wait_for(core_->options.call_timeout) != std::future_status::ready)
    throw client_error{{ec::timed_out, "the ack of " + m.id() +
                                           " was not answered in time: it may or may not count"}};
  if (const auto settled = outcome.get(); !settled)
    throw client_error{settled.error()};
}

/// To the loop; what is ordered without a subscription has no lease that it could change.
void consumer::impl::order(settle_order o) {
  core_->post([self = shared_from_this(), o = std::move(o)] { self->send_order(o); });
}

void consumer::impl::nack(const message& m, const std::string& reason,
                          std::optional<milliseconds> delay) {
  const std::lock_guard lock{mutex_};
  queue_.forget(m.partition(), m.offset());
  order({.kind = settling::nack,
         .partition = m.partition(),
         .ranges = {just(m.offset())},
         .reason = reason.substr(0, client_parts::text_bytes_max),
         .delay_ms = delay ? std::max<std::int64_t>(delay->count(), 0) : -1});
}

void consumer::impl::extend(const message& m, milliseconds lease) {
  order({.kind = settling::extend,
         .partition = m.partition(),
         .ranges = {just(m.offset())},
         .reason = {},
         .lease_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(lease.count(), 0))});
}

void consumer::impl::give_back(const message& m) {
  const std::lock_guard lock{mutex_};
  queue_.forget(m.partition(), m.offset());
  order({.kind = settling::give_back,
         .partition = m.partition(),
         .ranges = {just(m.offset())},
         .reason = {}});
}

void consumer::impl::wait_for_acks(std::unique_lock<std::mutex>& lock, steady_time until) {
  const auto mine = round_++;
  const bool all = changed_.wait_until(
      lock, until, [this, mine] { return unsettled_.empty() || unsettled_.begin()->first > mine; });
  if (!all)
    throw client_error{{ec::timed_out, "not all acks were answered in time: those messages may be "
                                       "delivered again"}};
}

std::uint64_t consumer::impl::flush() {
  core_->must_not_be_on_loop("consumer::flush");
  std::unique_lock lock{mutex_};
  wait_for_acks(lock, steady_clock::now() + core_->options.call_timeout);
  return lost_;
}

void consumer::impl::close() {
  const auto until = steady_clock::now() + core_->options.call_timeout;
  std::exception_ptr trouble;
  {
    std::unique_lock lock{mutex_};
    if (std::exchange(is_closed_, true))
      return;
    changed_.notify_all();
    try {
      if (!core_->on_loop())
        wait_for_acks(lock, until);
    } catch (const client_error&) {
      trouble = std::current_exception();
    }
  }
  if (core_->on_loop()) {
    finish();
  } else {
    auto gone = std::make_shared<std::promise<void>>();
    auto is_gone = gone->get_future();
    core_->run_there([this, gone] { end_subscription(gone); });
    is_gone.wait_until(until);
    core_->run_there([this] { finish(); });
  }
  const auto last_line = std::exchange(line_, nullptr);
  if (trouble)
    std::rethrow_exception(trouble);
}

// ---- the face ---------------------------------------------------------------------------------

consumer::consumer(std::shared_ptr<impl> i) : impl_{std::move(i)} {}
consumer::consumer(consumer&&) noexcept = default;

consumer& consumer::operator=(consumer&& other) noexcept {
  if (this != &other) {
    consumer gone{std::move(*this)};
    impl_ = std::move(other.impl_);
  }
  return *this;
}

consumer::~consumer() {
  if (!impl_)
    return;
  try {
    impl_->close();
  } catch (const std::exception& e) {
    impl_->say(std::string{"closing a consumer: "} + e.what());
  }
}

std::optional<message> consumer::next(milliseconds patience) { return impl_->next(patience); }
void consumer::ack(const message& m) { impl_->ack(m); }
void consumer::ack_and_wait(const message& m) { impl_->ack_and_wait(m); }
void consumer::nack(const message& m, const std::string& reason,
                    std::optional<milliseconds> delay) {
  impl_->nack(m, reason, delay);
}
void consumer::extend(const message& m, milliseconds lease) { impl_->extend(m, lease); }
void consumer::give_back(const message& m) { impl_->give_back(m); }
std::uint64_t consumer::flush() { return impl_->flush(); }
void consumer::close() { impl_->close(); }

} // namespace waybill
