// Producers and consumers that write down all that they are told, while a test does to the node
// what it likes; and the comparison afterwards: by message id, and by the producers' own numbers.
#pragma once

#include "net/client/client.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace waybill::test {

struct traffic_options {
  std::string server;
  std::string topic = "orders";
  std::string group = "billing";
  std::uint32_t partitions = 2;
  std::size_t producers = 3;
  std::size_t consumers = 2;
  std::uint32_t window = 200; ///< messages of one producer without an answer
  /// Between one message and the next of a producer.
  std::chrono::microseconds pause{300};
  /// Confirmed and not consumed; beyond it producers wait. Else they run away from consumers where
  /// the machine is slow, and what is left at the end takes longer than anybody waits.
  std::uint64_t backlog_max = 2'000;
  std::uint32_t credit = 100;
  milliseconds delivery_timeout{60'000};
};

class traffic {
public:
  /// Creates the topic and the group.
  explicit traffic(traffic_options options);
  ~traffic();

  void start();
  /// No more messages; returns when each has its answer.
  void stop_producers();
  /// Waits until every confirmed message was consumed, and every message's ack is committed.
  /// @returns whether that came to pass
  [[nodiscard]] bool await_settled(milliseconds patience);
  void stop_consumers();
  [[nodiscard]] std::uint64_t confirmed() const;
  [[nodiscard]] std::uint64_t consumed() const;

  /// @pre producers and consumers were stopped. What broke a promise, a sentence each; at most a
  /// few of each kind
  [[nodiscard]] std::vector<std::string> violations() const;
  /// What the node's books say that they should not, after everything was consumed: every partition
  /// balances, and the group has acknowledged all that was confirmed.
  [[nodiscard]] std::vector<std::string> violations_of_books() const;
  /// Of the confirmed messages, how many no consumer got.
  [[nodiscard]] std::uint64_t missing() const;
  /// How many of the producers' messages consumers got under more than one id.
  [[nodiscard]] std::uint64_t published_twice() const;
  /// How many messages were delivered more than once; allowed, but worth knowing.
  [[nodiscard]] std::uint64_t delivered_again() const;
  /// The highest attempt that any delivery had.
  [[nodiscard]] std::uint32_t highest_attempt() const { return highest_attempt_; }
  /// What the client library said.
  [[nodiscard]] std::vector<std::string> said() const;

private:
  using own_number = std::pair<std::size_t, std::uint64_t>; ///< producer, and its message
  struct seen {
    own_number who;
    std::uint64_t deliveries = 0;
    bool acked = false; ///< and the node has said so
  };

  void produce(std::size_t who);
  /// Returns when consumers have caught up, or nobody is to produce any more.
  void await_room() const;
  void consume(std::size_t who);
  void taken(const message& m);
  void acked(const message& m);
  void trouble(std::string words);
  [[nodiscard]] client make_client(const std::string& name);

  traffic_options options_;
  std::atomic<bool> producing_{true};
  std::atomic<bool> consuming_{true};
  std::atomic<bool> abandoned_{false};
  std::vector<std::thread> producers_;
  std::vector<std::thread> consumers_;

  mutable std::mutex guard_;
  std::map<own_number, receipt> receipts_;
  std::map<std::string, seen> deliveries_; ///< by message id
  std::set<own_number> consumed_;
  std::vector<std::string> troubles_;
  std::vector<std::string> said_;
  std::uint32_t highest_attempt_ = 0;
};

} // namespace waybill::test
