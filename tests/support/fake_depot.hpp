// A depot for tests of clients: speaks the contract over a real port of 127.0.0.1, keeps everything
// in memory, de-duplicates and leases as a node does, and misbehaves as it is told. Its state
// outlives its connections, as a node's disk does.
#pragma once

#include "storage/error.hpp"
#include "storage/types.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace waybill::testing {

using std::chrono::milliseconds;

/// What happens to one call.
struct reaction {
  enum class kind {
    proper,       ///< as a node does
    refuse,       ///< answers `code`, and does nothing else
    drop_before,  ///< closes the connection, and does nothing else
    drop_after,   ///< does what was asked, and closes the connection instead of answering
    silent,       ///< never answers, and does nothing else
    silent_after, ///< does what was asked, and never answers
    late,         ///< does what was asked, and answers after `delay`
    held,         ///< does what was asked, and answers at `release_held`
    fault,        ///< throws
    nonsense,     ///< answers with an error of no known code
    forget        ///< forgets all producers first, then as a node does
  };
  kind what = kind::proper;
  ec code = ec::overloaded;
  bool retry = true;
  milliseconds delay{20};
};

/// One publish as it arrived, whatever became of it.
struct publish_call {
  std::uint32_t partition = 0;
  std::uint64_t number = 0;
  std::uint64_t previous = 0;
  std::uint64_t bytes_hash = 0;
  std::string producer;
};

struct fake_options {
  std::map<std::string, std::uint32_t> topics; ///< name and partitions
  milliseconds lease{30'000};
  std::uint32_t attempts_max = 16;
  std::uint32_t remembered = 1'024;
  std::uint32_t message_bytes_max = 1u << 20;
  std::uint32_t in_flight_max = 1'000;
  std::uint32_t excess_deliveries = 0; ///< so many more than the credit allows
  std::uint16_t port = 0;
};

class fake_depot {
public:
  explicit fake_depot(fake_options options);
  ~fake_depot();
  fake_depot(const fake_depot&) = delete;
  fake_depot& operator=(const fake_depot&) = delete;

  [[nodiscard]] std::string address() const; ///< HOST:PORT; the same after every start
  void stop();                               ///< closes the port and every connection
  void start();                              ///< again, on the same port
  void drop_connections();

  // ---- misbehaviour: the next calls' reactions, in their order; then all is proper ----
  void at_login(std::vector<reaction> next);
  void at_open(std::vector<reaction> next);
  void at_publish(std::vector<reaction> next);
  void at_ack(std::vector<reaction> next);
  /// Decides for every publish, before the list is looked at.
  void decide_publish(std::function<reaction(const publish_call&)> decide);
  void send_garbage(bool on);  ///< instead of speaking the protocol, to new connections
  void spoil_batches(bool on); ///< deliver bytes that are no batch
  void release_held();
  /// As when the partition's leader ends, and no other one is there yet: subscriptions are told,
  /// and nothing of what they held can be settled. Returns when they have answered.
  void end_leases(const std::string& topic, std::uint32_t partition);

  // ---- what it has seen -----------------------------------------------------------------------
  [[nodiscard]] std::vector<std::string> log(const std::string& topic,
                                             std::uint32_t partition) const;  ///< the bodies
  [[nodiscard]] std::vector<std::string> log(const std::string& topic) const; ///< of all partitions
  [[nodiscard]] std::vector<publish_call> publishes() const;
  [[nodiscard]] std::size_t acked(const std::string& topic, const std::string& group) const;
  [[nodiscard]] std::vector<std::string> dead_reasons(const std::string& topic,
                                                      const std::string& group) const;
  [[nodiscard]] std::size_t leased(const std::string& topic, const std::string& group) const;
  [[nodiscard]] std::size_t held_most() const; ///< by one subscription at once
  [[nodiscard]] std::size_t ack_calls() const;
  [[nodiscard]] std::size_t given_back() const;
  [[nodiscard]] std::size_t extended() const;
  [[nodiscard]] std::size_t logins() const;
  /// Publishes bodies by itself, each as a batch.
  void put(const std::string& topic, std::uint32_t partition,
           const std::vector<std::string>& bodies);
  /// Blocks until `is_true`, which is asked after every change; false: not within half a minute.
  bool eventually(const std::function<bool()>& is_true) const;

  struct state;

private:
  struct server;
  std::unique_ptr<state> state_;
  std::unique_ptr<server> server_;
};

} // namespace waybill::testing
