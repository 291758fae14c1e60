// A consumer's inside: a queue that the loop fills and callers empty, and the settling that callers
// gather and the loop sends.
//
// What keeps a message from being lost: it leaves the node's hands only by an ack that the node has
// committed, so whatever goes wrong here ends in its being delivered again. What waits in the queue
// has its lease kept alive while somebody takes messages, and is given back (uncounted) when nobody
// does: a slow consumer must not turn what it never looked at into dead letters. With a session all
// its leases end: the queue is emptied, and acks for what was held go to the next subscription,
// which says whether they came too late. With a partition's leader those of the partition end.
#pragma once

#include "net/client/batch.hpp"
#include "net/client/client.hpp"
#include "net/client/core.hpp"
#include "net/client/link.hpp"
#include "net/client/local_queue.hpp"
#include "net/client/wire_values.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace waybill {

/// The one who makes messages.
struct consumer_impl {
  static message make(const std::string& topic, std::uint32_t partition, message_offset offset,
                      client_parts::read_message&& content, std::uint32_t attempt,
                      wall_time published);
};

struct consumer::impl final : client_parts::link_user, std::enable_shared_from_this<impl> {
  using steady_time = client_parts::steady_time;
  using place = std::pair<std::uint32_t, message_offset>;

  impl(std::shared_ptr<client_parts::core> owner, std::shared_ptr<client_parts::lifeline> line,
       std::string topic_name, std::string group_name, consume_options chosen);
  /// Blocks until the node has taken the subscription. @throws client_error
  static std::shared_ptr<impl> open(std::shared_ptr<client_parts::core> owner,
                                    std::shared_ptr<client_parts::lifeline> line,
                                    const std::string& topic, const std::string& group,
                                    consume_options options);

  // ---- callers --------------------------------------------------------------------------------
  std::optional<message> next(milliseconds patience);
  void ack(const message& m);
  void ack_and_wait(const message& m);
  void nack(const message& m, const std::string& reason, std::optional<milliseconds> delay);
  void extend(const message& m, milliseconds lease);
  void give_back(const message& m);
  std::uint64_t flush();
  void close();
  void say(const std::string& line) const { core_->log(line); }
  /// For `consume`: `next` returns at once from now on; a message's lease is kept while it is
  /// worked on; since when nothing came, while there was a subscription.
  void interrupt();
  [[nodiscard]] bool is_interrupted() const;
  void begin_work(const message& m);
  void end_work(const message& m);
  [[nodiscard]] steady_time idle_since() const;
  [[nodiscard]] std::uint64_t committed() const; ///< acks that took effect

  // ---- the link's -----------------------------------------------------------------------------
  void session_up() override;
  void session_down(const failure& why) override;
  void refused(const failure& why) override;

private:
  class receiver;
  using queued = client_parts::queued_message;
  struct waiter {
    message_offset offset;
    std::shared_ptr<std::promise<result<void>>> answer;
  };
  struct ack_bundle { ///< acks of one partition that go as one call
    std::vector<offset_range> ranges;
    std::map<std::uint64_t, std::uint64_t> rounds; ///< how many acks of each round of `flush`
    std::vector<waiter> waiters;
    std::uint64_t acks = 0;
    std::uint32_t tries = 0;
  };
  enum class settling { nack, extend, give_back };
  struct settle_order { ///< all but acks: sent at once, and not waited for
    settling kind = settling::give_back;
    std::uint32_t partition = 0;
    std::vector<offset_range> ranges;
    std::string reason;
    std::int64_t delay_ms = -1;
    std::uint64_t lease_ms = 0;
    std::uint32_t tries = 0;
  };

  // consumer.cpp: callers
  std::optional<message> pop(steady_time now);
  void add_ack(const message& m, std::shared_ptr<std::promise<result<void>>> answer);
  void order(settle_order o);
  void wait_for_acks(std::unique_lock<std::mutex>& lock, steady_time until);

  // consumer_subscription.cpp: the loop
  void join(client_parts::link& net);
  void subscribe_now();
  void subscribe_later();
  void subscribed(wire::SubscribeOutcome::Reader outcome);
  void subscription_refused(const failure& why, bool retry);
  void subscription_gone();
  void delivered(std::uint64_t generation, capnp::List<wire::Chunk>::Reader chunks);
  void take_chunk(wire::Chunk::Reader chunk, std::vector<queued>& into);
  void enqueue(std::vector<queued> fresh);
  void ended(std::uint64_t generation, const client_parts::wire_failure& why);
  void leases_ended(std::uint64_t generation, std::uint32_t partition);
  void end_for_good(const failure& why);
  void end_subscription(const std::shared_ptr<std::promise<void>>& gone);
  void finish();

  // consumer_settling.cpp: the loop
  void send_acks();
  std::optional<std::pair<std::uint32_t, ack_bundle>> take_bundle();
  void send_bundle(std::uint32_t partition, ack_bundle bundle);
  void ack_answered(std::uint32_t partition, ack_bundle& bundle,
                    wire::SettleOutcome::Reader outcome);
  void forget_settled(std::uint32_t partition, const std::vector<offset_range>& acked,
                      const std::vector<offset_range>& lost);
  void ack_again(std::uint32_t partition, ack_bundle bundle, bool is_counted);
  void settle_acks(ack_bundle& bundle, const std::vector<offset_range>& lost, const failure& why);
  void send_order(settle_order o);
  void order_failed(settle_order o, const failure& why, bool retry);
  void renewed(const settle_order& o, steady_time sent, const std::vector<offset_range>& lost);
  void keep_leases();
  void tick();

  const std::shared_ptr<client_parts::core> core_;
  std::shared_ptr<client_parts::lifeline> line_;
  const std::string topic_;
  const std::string group_;
  const consume_options options_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  client_parts::local_queue queue_;
  std::map<place, steady_time> worked_on_;
  std::map<std::uint32_t, std::deque<ack_bundle>> acks_; ///< to be sent, by partition
  bool acks_posted_ = false;
  std::uint64_t round_ = 0;
  std::map<std::uint64_t, std::uint64_t> unsettled_; ///< acks without an answer, by round
  std::uint64_t committed_ = 0;
  std::uint64_t lost_ = 0;
  std::uint32_t takers_ = 0;   ///< callers within `next`
  steady_time last_taken_{};   ///< when `next` was last called
  steady_time last_message_{}; ///< when it last had one
  std::optional<steady_time> subscribed_at_;
  std::uint64_t generation_ = 0; ///< of subscriptions
  milliseconds lease_{0};
  bool is_interrupted_ = false;
  bool is_closed_ = false;
  bool is_ready_ = false;
  std::optional<failure> last_refusal_; ///< of a subscription
  std::optional<failure> final_;

  // The loop's.
  std::optional<wire::Subscription::Client> subscription_;
  bool is_asking_ = false;          ///< `subscribe` is not answered yet
  std::vector<settle_order> early_; ///< for what was delivered before that answer
  std::uint64_t session_ = 0;
  std::uint64_t asked_ = 0;
  std::size_t ack_calls_ = 0;
  std::multiset<std::uint32_t> acking_; ///< the partitions of these calls
  bool acks_stall_ = false; ///< this session's connection is gone, the word of it is not here yet
  std::optional<steady_time> acks_at_;
  std::optional<steady_time> subscribe_at_;
  std::optional<steady_time> keep_at_;
  milliseconds pause_{50};
  bool told_excess_ = false;
  bool told_lost_ = false;
  bool is_finished_ = false;
  std::unique_ptr<client_parts::waker> waker_;
};

} // namespace waybill
