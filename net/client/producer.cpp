// The callers' half of a producer: checks, room, batches being filled; and the public face.
#include "net/client/producer_impl.hpp"

#include "storage/assert.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace waybill {

using client_parts::batch_done;
using client_parts::core;
using client_parts::lifeline;
using client_parts::message_done;
using client_parts::outgoing_batch;
using client_parts::steady_clock;

namespace {

std::uint64_t random_number() {
  std::random_device source;
  std::uint64_t drawn = 0;
  while (drawn == 0) // 0 is nobody
    drawn = (static_cast<std::uint64_t>(source()) << 32) | source();
  return drawn;
}

std::string random_name() { return to_string(hash128{random_number(), random_number()}); }

producer_options sane(producer_options o) {
  if (o.name.empty())
    o.name = random_name();
  o.batch_bytes_max = std::max<std::size_t>(o.batch_bytes_max, 1);
  o.batch_messages_max = std::max(o.batch_messages_max, 1u);
  o.waiting_bytes_max = std::max<std::size_t>(o.waiting_bytes_max, 1);
  o.waiting_messages_max = std::max(o.waiting_messages_max, 1u);
  o.batches_in_flight_max = std::max(o.batches_in_flight_max, 1u);
  o.linger = std::max(o.linger, milliseconds{0});
  o.compression_level =
      std::clamp(o.compression_level, compression_level_min, compression_level_max);
  o.retry.interval = std::max(o.retry.interval, milliseconds{1});
  o.retry.attempt_timeout = std::max(o.retry.attempt_timeout, milliseconds{1});
  o.retry.delivery_timeout = std::max(o.retry.delivery_timeout, milliseconds{1});
  return o;
}

} // namespace

producer::impl::impl(std::shared_ptr<core> owner, std::shared_ptr<lifeline> line,
                     std::string topic_name, producer_options chosen)
    : core_{std::move(owner)}, line_{std::move(line)}, topic_{std::move(topic_name)},
      options_{sane(std::move(chosen))}, instance_{random_number()} {}

std::shared_ptr<producer::impl> producer::impl::open(std::shared_ptr<core> owner,
                                                     std::shared_ptr<lifeline> line,
                                                     const std::string& topic,
                                                     producer_options options) {
  owner->must_not_be_on_loop("opening a producer");
  auto made = std::make_shared<impl>(owner, std::move(line), topic, std::move(options));
  const auto until = steady_clock::now() +
                     std::min(owner->options.call_timeout, made->options_.retry.delivery_timeout);
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
  if (!why)
    owner->run_there([&owner, &why, &refusal] {
      const auto trouble = owner->net() ? owner->net()->trouble() : std::string{};
      if (trouble.empty() && refusal)
        why = refusal;
      else
        why = failure{trouble.empty() ? ec::timed_out : ec::unreachable,
                      "the producer could not be opened in time" +
                          (trouble.empty() ? std::string{} : ": " + trouble)};
    });
  made->close(milliseconds{0}, left_behind::handed_back);
  throw client_error{*why};
}

void producer::impl::join(client_parts::link& net) {
  waker_ =
      std::make_unique<client_parts::waker>(net.timer(), net.tasks(), [weak = weak_from_this()] {
        if (const auto self = weak.lock())
          self->pump();
      });
  net.add(shared_from_this());
}

// ---- checks -----------------------------------------------------------------------------------

std::optional<failure> producer::impl::objection(const outgoing_message& m,
                                                 std::size_t bytes) const {
  if (m.partition && *m.partition >= lanes_.size())
    return failure{ec::unknown_partition,
                   "topic '" + topic_ + "' has " + std::to_string(lanes_.size()) +
                       " partitions: there is no number " + std::to_string(*m.partition)};
  if (bytes > limits_.message_bytes_max)
    return failure{ec::message_too_large, "a message of " + std::to_string(bytes) +
                                              " bytes is larger than the node takes (" +
                                              std::to_string(limits_.message_bytes_max) + ")"};
  // Otherwise the node would refuse all else in the batch along with it.
  if (const auto why = objection_to({m.deliver_at, m.delay, m.expires, m.time_to_live}))
    return failure{ec::bad_argument, "a message has " + *why};
  const auto words = client_parts::empty_batch_words + client_parts::words_of(m);
  if (words * sizeof(capnp::word) > limits_.batch_bytes_max)
    return failure{ec::batch_too_large, "a message with so many headers makes a batch larger than "
                                        "the node takes (" +
                                            std::to_string(limits_.batch_bytes_max) + " bytes)"};
  return std::nullopt;
}

std::optional<failure> producer::impl::closed_failure() const {
  if (final_)
    return final_;
  if (is_closing_)
    return failure{ec::stopping, "the producer is closed: open another one"};
  return std::nullopt;
}

std::optional<failure> producer::impl::wait_for_room(std::unique_lock<std::mutex>& lock,
                                                     std::size_t bytes, std::size_t messages) {
  const auto has_room = [&] {
    return waiting_messages_ == 0 ||
           (waiting_bytes_ + bytes <= options_.waiting_bytes_max &&
            waiting_messages_ + messages <= options_.waiting_messages_max);
  };
  if (auto closed = closed_failure())
    return closed;
  if (has_room())
    return std::nullopt;
  if (core_->on_loop()) // only this thread makes room
    return failure{ec::overloaded, "there is no room for another message, and a callback cannot "
                                   "wait for it: raise waiting_messages_max or waiting_bytes_max"};
  seal_all(); // who lingers now lingers in vain
  changed_.wait(lock, [&] { return closed_failure() || has_room(); });
  return closed_failure();
}

// ---- filling batches --------------------------------------------------------------------------

std::uint32_t producer::impl::choose_partition(const outgoing_message& m) {
  if (m.partition)
    return *m.partition;
  if (!m.key.empty())
    return partition_of_key(m.key, static_cast<std::uint32_t>(lanes_.size()));
  return keyless_;
}

/// Round the partitions that are in service, past those that are behind while others are not.
void producer::impl::next_keyless() {
  std::optional<std::uint32_t> behind;
  for (std::size_t step = 1; step <= lanes_.size(); ++step) {
    const auto next = static_cast<std::uint32_t>((keyless_ + step) % lanes_.size());
    if (lanes_[next].out_of_service)
      continue;
    if (!lanes_[next].is_blocked) {
      keyless_ = next;
      return;
    }
    if (!behind)
      behind = next;
  }
  keyless_ = behind.value_or(keyless_);
}

producer::impl::batch_handle producer::impl::start_batch(std::uint32_t partition) {
  auto b = std::make_shared<outgoing_batch>();
  b->partition = partition;
  b->words = client_parts::empty_batch_words;
  b->accepted = steady_clock::now();
  b->round = round_;
  ++unsettled_[round_];
  return b;
}

void producer::impl::put(const batch_handle& b, outgoing_message m, message_done done,
                         std::size_t bytes, std::size_t words) {
  b->messages.push_back({std::move(m), std::move(done)});
  b->message_bytes += bytes;
  b->words += words;
  waiting_bytes_ += bytes;
  ++waiting_messages_;
}

void producer::impl::seal(std::uint32_t partition) {
  auto& l = lanes_[partition];
  if (!l.open)
    return;
  l.sealed.push_back(std::move(l.open));
  l.open = nullptr;
  l.in_a_hurry = false;
  if (partition == keyless_) // whole batches go round
    next_keyless();
}

void producer::impl::seal_all() {
  for (std::uint32_t p = 0; p < lanes_.size(); ++p) {
    if (!lanes_[p].open)
      continue;
    seal(p);
    touch(p);
  }
}

/// The loop must look at this lane.
void producer::impl::touch(std::uint32_t partition) {
  if (touched_.empty() || touched_.back() != partition)
    touched_.push_back(partition);
  if (std::exchange(pump_posted_, true))
    return;
  core_->post([self = shared_from_this()] { self->pump(); });
}

/// `done` is called from the library's thread, as always.
void producer::impl::refuse(outgoing_message m, message_done done, failure why) {
  if (done)
    core_->post([m = std::move(m), done = std::move(done), why = std::move(why)]() mutable {
      done(std::move(why), std::move(m));
    });
}

void producer::impl::submit(outgoing_message m, message_done done, haste how) {
  const auto bytes = client_parts::bytes_of(m);
  const auto words = client_parts::words_of(m);
  std::unique_lock lock{mutex_};
  auto why = objection(m, bytes);
  if (!why && numbering_ == numbering::callers)
    why = failure{ec::bad_argument, "this producer's batches are numbered by its caller: "
                                    "use another producer for messages without a number"};
  if (!why)
    why = wait_for_room(lock, bytes, 1);
  if (why) {
    lock.unlock();
    refuse(std::move(m), std::move(done), std::move(*why));
    return;
  }
  numbering_ = numbering::ours;
  const auto partition = choose_partition(m);
  auto* l = &lanes_[partition];
  const auto bytes_max = std::min<std::size_t>(options_.batch_bytes_max, limits_.batch_bytes_max);
  const auto count_max = std::min(options_.batch_messages_max, limits_.batch_messages_max);
  bool is_news = false;
  if (l->open && (l->open->words + words) * sizeof(capnp::word) > bytes_max) {
    seal(partition);
    is_news = true;
  }
  if (!l->open) {
    l->open = start_batch(partition);
    is_news = true; // it has to linger
  }
  put(l->open, std::move(m), std::move(done), bytes, words);
  if (how == haste::no_lingering && !std::exchange(l->in_a_hurry, true))
    is_news = true;
  if (l->open->messages.size() >= count_max || l->open->words * sizeof(capnp::word) >= bytes_max) {
    seal(partition);
    is_news = true;
  }
  if (is_news)
    touch(partition);
}

std::future<receipt> producer::impl::submit(outgoing_message m, haste how) {
  auto promised = std::make_shared<std::promise<receipt>>();
  auto future = promised->get_future();
  submit(
      std::move(m),
      [promised](result<receipt> outcome, outgoing_message sent) {
        if (outcome)
          promised->set_value(*std::move(outcome));
        else
          promised->set_exception(
              std::make_exception_ptr(unconfirmed_error{outcome.error(), std::move(sent)}));
      },
      how);
  return future;
}

std::optional<failure>
producer::impl::numbered_objection(std::uint32_t partition, batch_number number,
                                   const std::vector<outgoing_message>& messages,
                                   std::size_t& bytes, std::size_t& words) const {
  for (const auto& m : messages) {
    const auto size = client_parts::bytes_of(m);
    if (auto why = objection(m, size))
      return why;
    bytes += size;
    words += client_parts::words_of(m);
  }
  if (partition >= lanes_.size())
    return failure{ec::unknown_partition,
                   "topic '" + topic_ + "' has no partition " + std::to_string(partition)};
  if (messages.empty() || number == batch_number{} || numbering_ == numbering::ours)
    return failure{
        ec::bad_argument,
        "a numbered batch has messages and a number above 0, and goes through a producer "
        "of numbered batches alone"};
  if (number <= lanes_[partition].given_last)
    return failure{ec::bad_argument, "batch numbers grow: " + std::to_string(number.value) +
                                         " came after " +
                                         std::to_string(lanes_[partition].given_last.value)};
  if (messages.size() > limits_.batch_messages_max ||
      words * sizeof(capnp::word) > limits_.batch_bytes_max)
    return failure{ec::batch_too_large, "the batch is larger than the node takes (" +
                                            std::to_string(limits_.batch_messages_max) +
                                            " messages, " +
                                            std::to_string(limits_.batch_bytes_max) + " bytes)"};
  return std::nullopt;
}

void producer::impl::submit_numbered(std::uint32_t partition, batch_number number,
                                     std::vector<outgoing_message> messages, batch_done done) {
  std::unique_lock one_at_a_time{numbered_, std::defer_lock};
  if (!core_->on_loop())
    one_at_a_time.lock(); // who waits for room must not be passed by a higher number
  std::size_t bytes = 0;
  std::size_t words = client_parts::empty_batch_words;
  std::unique_lock lock{mutex_};
  std::optional<failure> why;
  if (!one_at_a_time.owns_lock() && !one_at_a_time.try_lock())
    why = failure{ec::overloaded, "somebody else waits for room, and a callback cannot"};
  if (!why)
    why = numbered_objection(partition, number, messages, bytes, words);
  if (!why) {
    numbering_ = numbering::callers;
    why = wait_for_room(lock, bytes, messages.size());
  }
  if (why) {
    lock.unlock();
    if (done)
      core_->post([done = std::move(done), w = std::move(*why)]() mutable { done(std::move(w)); });
    return;
  }
  auto b = start_batch(partition);
  for (auto& m : messages)
    b->messages.push_back({std::move(m), nullptr});
  b->done = std::move(done);
  b->is_numbered = true;
  b->number = number;
  b->message_bytes = bytes;
  b->words = words;
  waiting_bytes_ += bytes;
  waiting_messages_ += b->messages.size();
  lanes_[partition].given_last = number;
  lanes_[partition].sealed.push_back(std::move(b));
  touch(partition);
}

// ---- the end ----------------------------------------------------------------------------------

void producer::impl::flush() {
  core_->must_not_be_on_loop("producer::flush");
  std::unique_lock lock{mutex_};
  seal_all();
  const auto mine = round_++;
  changed_.wait(lock,
                [this, mine] { return unsettled_.empty() || unsettled_.begin()->first > mine; });
}

std::vector<leftover> producer::impl::close(milliseconds patience, left_behind what) {
  if (patience.count() > 0)
    core_->must_not_be_on_loop("producer::close with patience");
  {
    std::unique_lock lock{mutex_};
    if (std::exchange(is_closing_, true))
      return {}; // the first one has everything
    seal_all();
    changed_.notify_all();
    if (patience.count() > 0)
      changed_.wait_for(lock, patience, [this] { return unsettled_.empty(); });
  }
  std::vector<leftover> left;
  if (core_->on_loop())
    finish(left, what);
  else
    core_->run_there([this, &left, what] { finish(left, what); });
  const auto line = std::exchange(line_, nullptr); // ends the loop here, not in a callback
  return left;
}

// ---- the face ---------------------------------------------------------------------------------

producer::producer(std::shared_ptr<impl> i) : impl_{std::move(i)} {}
producer::producer(producer&&) noexcept = default;

producer& producer::operator=(producer&& other) noexcept {
  if (this != &other) {
    producer gone{std::move(*this)};
    impl_ = std::move(other.impl_);
  }
  return *this;
}

producer::~producer() {
  if (!impl_)
    return;
  try {
    impl_->close(milliseconds{0}, impl::left_behind::nobody_asks);
  } catch (const std::exception&) {
    // A destructor has nobody to tell; what was left has been logged and alarmed.
  }
}

receipt producer::send(outgoing_message m) {
  impl_->must_not_block("producer::send");
  return impl_->submit(std::move(m), impl::haste::no_lingering).get();
}

std::future<receipt> producer::send_async(outgoing_message m) {
  return impl_->submit(std::move(m), impl::haste::may_linger);
}

void producer::send_async(outgoing_message m,
                          std::function<void(result<receipt>, outgoing_message)> done) {
  impl_->submit(std::move(m), std::move(done), impl::haste::may_linger);
}

void producer::send_numbered(std::uint32_t partition, batch_number number,
                             std::vector<outgoing_message> batch,
                             std::function<void(result<std::vector<receipt>>)> done) {
  impl_->submit_numbered(partition, number, std::move(batch), std::move(done));
}

std::vector<last_batch> producer::last_batches() const { return impl_->last_batches(); }
std::uint32_t producer::partitions() const { return impl_->partitions(); }
void producer::flush() { impl_->flush(); }

std::vector<leftover> producer::close(milliseconds patience) {
  if (!impl_)
    return {};
  auto left = impl_->close(patience, impl::left_behind::handed_back);
  return left;
}

} // namespace waybill
