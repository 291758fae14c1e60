// The fake depot's memory: logs, producers, groups and leases, under one lock. No connection in it.
#pragma once

#include "tests/support/fake_depot.hpp"

#include <condition_variable>
#include <mutex>
#include <optional>

namespace waybill::testing {

struct kept_batch {
  std::string bytes;
  std::uint64_t first_offset = 0;
  std::uint32_t count = 0;
};
struct kept_producer {
  std::uint64_t opened = 0;
  std::uint64_t instance = 0;
  std::uint64_t last = 0;
  std::map<std::uint64_t, std::size_t> batches; ///< number → place in the partition's log
};
struct kept_delivery { ///< of one message to one group
  enum class state { ready, leased, acked, dead } now = state::ready;
  std::uint64_t subscription = 0;
  std::chrono::steady_clock::time_point until{};
  std::uint32_t attempts = 0; ///< that failed
  std::string reason;
};
struct kept_partition {
  std::vector<kept_batch> batches;
  std::vector<std::string> bodies;
  std::map<std::string, kept_producer> producers;
  std::map<std::string, std::vector<kept_delivery>> groups;
};
struct kept_topic {
  std::vector<kept_partition> partitions;
};

struct publish_verdict {
  failure why{ec::none, {}};
  std::uint64_t first_offset = 0;
  std::uint64_t index = 0;
  bool repeated = false;
};
/// One message to be delivered.
struct due_delivery {
  std::uint32_t partition = 0;
  std::size_t batch = 0;
  std::uint32_t position = 0;
  std::uint64_t offset = 0;
  std::uint32_t attempt = 1;
};

struct fake_depot::state {
  explicit state(fake_options chosen);

  // All of these lock.
  reaction next(std::deque<reaction>& list);
  failure open(const std::string& topic, const std::string& name, std::uint64_t instance,
               bool take_over, std::uint64_t& opened, std::vector<std::uint64_t>& last);
  publish_verdict publish(const std::string& topic, const std::string& name, std::uint64_t opened,
                          const publish_call& call, std::string bytes);
  void put(kept_partition& p, std::string bytes); ///< locked by its caller
  std::vector<due_delivery> lease(const std::string& topic, const std::string& group,
                                  std::uint64_t subscription, std::uint32_t credit);
  enum class settle_as { ack, nack, extend, give_back };
  /// False: not held by this subscription.
  bool settle(const std::string& topic, const std::string& group, std::uint32_t partition,
              std::uint64_t offset, std::uint64_t subscription, settle_as how,
              const std::string& reason);
  void end_leases(const std::string& topic, const std::string& group, std::uint64_t subscription,
                  bool is_counted);
  bool expire_leases();
  /// Nobody holds what is leased now, and nobody gets it.
  void orphan_leases(const std::string& topic, std::uint32_t partition);
  template <class Read>
  auto look(Read read) const {
    const std::lock_guard lock{mutex};
    return read();
  }
  void changed() const { news.notify_all(); }

  const fake_options options;
  mutable std::mutex mutex;
  mutable std::condition_variable news;
  std::map<std::string, kept_topic> topics;
  std::deque<reaction> logins, opens, publishes, acks;
  std::function<reaction(const publish_call&)> decide;
  std::vector<publish_call> seen;
  bool garbage = false;
  bool spoiled = false;
  std::size_t held_most = 0, ack_calls = 0, given_back = 0, extended = 0, login_count = 0;
  std::uint64_t openings = 0;

private:
  void fail(kept_delivery& d, const std::string& reason);
  kept_delivery* find(const std::string& topic, const std::string& group, std::uint32_t partition,
                      std::uint64_t offset);
};

/// The bodies in a batch's bytes. Throws when they are none.
std::vector<std::string> bodies_of(const std::string& batch);
/// A batch of one message.
std::string batch_of(const std::string& body);

} // namespace waybill::testing
