// The loop's half of a consumer: subscribing in each session, and taking what is delivered.
#include "net/client/consumer_impl.hpp"

#include "net/client/wire_values.hpp"

#include <algorithm>
#include <utility>

namespace waybill {

using client_parts::steady_clock;
using client_parts::wire_failure;

namespace {

constexpr milliseconds pause_first{50};
constexpr milliseconds pause_max{2'000};
constexpr milliseconds subscribe_timeout{10'000};
constexpr std::uint64_t lease_ms_max = 365ull * 24 * 3'600'000;

std::size_t bytes_of(const client_parts::read_message& m) {
  auto bytes = m.key.size() + m.body.size();
  for (const auto& [name, value] : m.content_headers)
    bytes += name.size() + value.size();
  return bytes;
}

wire_failure unknown_answer() {
  return {{ec::internal, "the node's answer is of a kind that this library does not know"}, false};
}

} // namespace

/// What the node calls. It may outlive the consumer by as long as the connection holds it.
class consumer::impl::receiver final : public wire::Receiver::Server {
public:
  receiver(std::weak_ptr<impl> owner, std::uint64_t generation)
      : owner_{std::move(owner)}, generation_{generation} {}

  kj::Promise<void> deliver(DeliverContext context) override {
    if (const auto self = owner_.lock())
      self->delivered(generation_, context.getParams().getChunks());
    context.releaseParams();
    return kj::READY_NOW;
  }

  kj::Promise<void> ended(EndedContext context) override {
    if (const auto self = owner_.lock())
      self->ended(generation_, client_parts::to_failure(context.getParams().getError()));
    return kj::READY_NOW;
  }

  kj::Promise<void> leasesEnded(LeasesEndedContext context) override {
    if (const auto self = owner_.lock())
      self->leases_ended(generation_, context.getParams().getPartition());
    return kj::READY_NOW;
  }

private:
  std::weak_ptr<impl> owner_;
  std::uint64_t generation_;
};

// ---- sessions ---------------------------------------------------------------------------------

void consumer::impl::join(client_parts::link& net) {
  waker_ =
      std::make_unique<client_parts::waker>(net.timer(), net.tasks(), [weak = weak_from_this()] {
        if (const auto self = weak.lock())
          self->tick();
      });
  net.add(shared_from_this());
}

void consumer::impl::session_up() {
  if (is_finished_)
    return;
  ++session_;
  ack_calls_ = 0;
  acking_.clear();
  acks_stall_ = false;
  pause_ = pause_first;
  subscribe_now();
}

void consumer::impl::session_down(const failure&) {
  if (!is_finished_)
    subscription_gone();
}

void consumer::impl::refused(const failure& why) { end_for_good(why); }

/// Its leases have ended: what waits in the queue will be delivered again.
void consumer::impl::subscription_gone() {
  subscription_.reset();
  is_asking_ = false;
  early_.clear();
  subscribe_at_.reset();
  keep_at_.reset();
  ++asked_;
  const std::lock_guard lock{mutex_};
  ++generation_;
  subscribed_at_.reset();
  queue_.clear();
}

void consumer::impl::subscribe_now() {
  auto* net = core_->net();
  if (!net || !net->is_up() || is_finished_)
    return;
  subscription_gone();
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock{mutex_};
    if (is_closed_ && unsettled_.empty())
      return; // while acks are open it is closed only after they are answered
    generation = generation_;
  }
  auto request = net->session().subscribeRequest();
  request.setTopic(topic_);
  request.setGroup(group_);
  request.setConsumer(options_.name);
  request.setCreditMessages(options_.credit_messages);
  request.setCreditBytes(options_.credit_bytes);
  request.setReceiver(kj::heap<receiver>(weak_from_this(), generation));
  request.setAcceptsCompressed(true);
  is_asking_ = true;
  told_lost_ = false;
  const auto id = ++asked_;
  const auto asked_at = steady_clock::now();
  net->tasks().add(net->timer()
                       .timeoutAfter(client_parts::to_kj(subscribe_timeout), request.send())
                       .then(
                           [self = shared_from_this(), id](auto&& response) {
                             if (auto* heard = self->core_->net())
                               heard->heard();
                             if (id == self->asked_ && !self->is_finished_)
                               self->subscribed(response.getOutcome());
                           },
                           [self = shared_from_this(), id, asked_at](kj::Exception&& e) {
                             auto* lost = self->core_->net();
                             if (id != self->asked_ || self->is_finished_ || !lost ||
                                 !lost->is_up())
                               return;
                             if (lost->last_heard() < asked_at)
                               lost->suspect();
                             self->subscription_refused(client_parts::to_failure(e), true);
                           }));
}

void consumer::impl::subscribe_later() {
  subscribe_at_ = steady_clock::now() + pause_;
  pause_ = std::min(pause_ * 2, pause_max);
  waker_->at(*subscribe_at_);
}

void consumer::impl::subscribed(wire::SubscribeOutcome::Reader outcome) {
  is_asking_ = false;
  if (outcome.which() == wire::SubscribeOutcome::ERROR) {
    const auto refusal = client_parts::to_failure(outcome.getError());
    subscription_refused(refusal.why, refusal.retry || retry_can_help(refusal.why.code));
    return;
  }
  if (outcome.which() != wire::SubscribeOutcome::OK) {
    subscription_refused(unknown_answer().why, false);
    return;
  }
  const auto ok = outcome.getOk();
  subscription_ = ok.getSubscription();
  pause_ = pause_first;
  {
    const std::lock_guard lock{mutex_};
    lease_ = milliseconds{std::clamp<std::uint64_t>(ok.getLeaseMs(), 1, lease_ms_max)};
    subscribed_at_ = steady_clock::now();
    is_ready_ = true;
    changed_.notify_all();
  }
  tick(); // starts the keeping of leases
  send_acks();
  for (auto& each : std::exchange(early_, {}))
    send_order(std::move(each));
}

void consumer::impl::subscription_refused(const failure& why, bool retry) {
  {
    const std::lock_guard lock{mutex_};
    last_refusal_ = why;
  }
  if (retry)
    subscribe_later();
  else
    end_for_good(why);
}

void consumer::impl::ended(std::uint64_t generation, const wire_failure& why) {
  {
    const std::lock_guard lock{mutex_};
    if (generation != generation_ || is_closed_)
      return;
  }
  if (is_finished_)
    return;
  core_->log("the node ended the subscription of group '" + group_ + "' to '" + topic_ +
             "': " + why.why.detail);
  if (!why.retry && !retry_can_help(why.why.code)) {
    end_for_good(why.why);
    return;
  }
  subscription_gone();
  subscribe_later();
}

/// Others get these messages now: whoever takes one here would work in vain, or after them.
void consumer::impl::leases_ended(std::uint64_t generation, std::uint32_t partition) {
  const std::lock_guard lock{mutex_};
  if (generation == generation_)
    queue_.forget(partition);
}

void consumer::impl::end_for_good(const failure& why) {
  if (is_finished_)
    return;
  subscription_gone();
  if (auto* net = core_->net())
    net->remove(*this); // no session is of use to it any more
  std::map<std::uint32_t, std::deque<ack_bundle>> left;
  {
    const std::lock_guard lock{mutex_};
    if (!final_)
      final_ = why;
    left.swap(acks_);
    changed_.notify_all();
  }
  for (auto& [partition, bundles] : left)
    for (auto& each : bundles)
      settle_acks(each, each.ranges, why);
}

void consumer::impl::end_subscription(const std::shared_ptr<std::promise<void>>& gone) {
  auto* net = core_->net();
  if (!net || !net->is_up() || !subscription_ || is_finished_) {
    gone->set_value(); // the node has ended its leases already
    return;
  }
  net->tasks().add(subscription_->closeRequest().send().ignoreResult().then(
      [gone] { gone->set_value(); }, [gone](kj::Exception&&) { gone->set_value(); }));
}

void consumer::impl::finish() {
  if (std::exchange(is_finished_, true))
    return;
  if (auto* net = core_->net())
    net->remove(*this);
  subscription_gone();
  std::map<std::uint32_t, std::deque<ack_bundle>> left;
  {
    const std::lock_guard lock{mutex_};
    is_closed_ = true;
    left.swap(acks_);
  }
  for (auto& [partition, bundles] : left)
    for (auto& each : bundles)
      settle_acks(each, each.ranges, {ec::stopping, "the consumer was closed"});
  waker_.reset();
}

// ---- deliveries -------------------------------------------------------------------------------

void consumer::impl::delivered(std::uint64_t generation, capnp::List<wire::Chunk>::Reader chunks) {
  auto* net = core_->net();
  if (!net || is_finished_)
    return;
  net->heard();
  {
    const std::lock_guard lock{mutex_};
    if (generation != generation_ || is_closed_)
      return; // of a subscription that is no more: so are its leases
  }
  std::vector<queued> fresh;
  for (const auto chunk : chunks)
    take_chunk(chunk, fresh);
  enqueue(std::move(fresh));
}

void consumer::impl::take_chunk(wire::Chunk::Reader chunk, std::vector<queued>& into) {
  const auto deliveries = chunk.getDeliveries();
  std::vector<std::uint32_t> positions;
  positions.reserve(deliveries.size());
  for (const auto each : deliveries)
    positions.push_back(each.getPosition());
  auto contents = client_parts::read_batch(chunk.getBatch(), positions);
  if (!contents) {
    core_->log(partition_name(topic_, chunk.getPartition()) + ": " + contents.error().detail);
    for (const auto each : deliveries) // counted: what nobody can read ends as a dead letter
      send_order(
          {.kind = settling::nack,
           .partition = chunk.getPartition(),
           .ranges = {{message_offset{each.getOffset()}, message_offset{each.getOffset() + 1}}},
           .reason = contents.error().detail});
    return;
  }
  const auto now = steady_clock::now();
  const auto published = client_parts::to_time(chunk.getPublished());
  for (unsigned i = 0; i < deliveries.size(); ++i) {
    auto& content = (*contents)[i];
    const auto bytes = bytes_of(content);
    into.push_back({consumer_impl::make(
                        topic_, chunk.getPartition(), message_offset{deliveries[i].getOffset()},
                        std::move(content), std::max(deliveries[i].getAttempt(), 1u), published),
                    bytes, now});
  }
}

/// Up to the credit. More than that is the node's mistake: it goes back, so that memory stays
/// bounded.
void consumer::impl::enqueue(std::vector<queued> fresh) {
  std::map<std::uint32_t, std::vector<offset_range>> excess;
  {
    const std::lock_guard lock{mutex_};
    for (auto& each : fresh) {
      // Bytes are counted by the node, perhaps by another measure: room for twice as many.
      const bool has_room =
          queue_.empty() || (queue_.size() < options_.credit_messages &&
                             queue_.bytes() + each.bytes <= 2 * options_.credit_bytes);
      if (has_room) {
        queue_.push(std::move(each));
      } else {
        const auto at = each.content.offset();
        excess[each.content.partition()].push_back(just(at));
      }
    }
    changed_.notify_all();
  }
  if (excess.empty())
    return;
  if (!std::exchange(told_excess_, true))
    core_->log("the node delivers more of '" + topic_ + "' than the credit of group '" + group_ +
               "' allows: the rest is given back");
  for (auto& [partition, ranges] : excess)
    send_order({.kind = settling::give_back,
                .partition = partition,
                .ranges = std::move(ranges),
                .reason = {}});
}

} // namespace waybill
