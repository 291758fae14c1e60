// What drives limits to their ends: a node with small limits beside which somebody else works, and
// peers whose every answer is looked at.
#pragma once

#include "net/waybill.capnp.h"
#include "tests/node/hosted_node.hpp"
#include "tests/node/raw_peer.hpp"

#include "net/client/client.hpp"

#include <capnp/ez-rpc.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace waybill::test {

using namespace std::chrono_literals;

/// Drives one limit to its end, on a node of its own; by the limit's key.
using limit_drivers = std::map<std::string_view, std::function<void()>>;
/// The keys of which `limit-near` was told so far, as their drivers saw it; to be emptied by the
/// test.
[[nodiscard]] std::set<std::string, std::less<>>& alarms_met();
void add_net_drivers(limit_drivers& to);
void add_storage_drivers(limit_drivers& to);
void add_flow_drivers(limit_drivers& to);
void add_policy_drivers(limit_drivers& to);
void add_delivery_drivers(limit_drivers& to);
void add_partition_drivers(limit_drivers& to);

inline constexpr milliseconds patience{15'000};

/// A client of a topic of its own that works all the while: one message after the other is
/// confirmed, consumed and acknowledged.
class bystander {
public:
  /// Its credit is small, so that it fits under any limit.
  explicit bystander(const std::string& server);
  ~bystander();
  /// Whether it goes on.
  void expect_progress();
  /// All that was confirmed to it was consumed. `quiet`: its library had nothing to say
  void finish(bool quiet);

private:
  void work();

  std::mutex guard_;
  std::vector<std::string> said_;
  std::string trouble_;
  std::atomic<std::uint64_t> rounds_{0};
  std::atomic<bool> ending_{false};
  client client_;
  std::thread worker_;
};

struct house_plan {
  std::vector<std::string> flags{};
  std::vector<std::pair<std::string, limit_value>> bounds{};
  std::function<std::uint64_t()> disk_free{};
  std::function<void(node_config&)> extend{}; ///< what the program adds to its node
  bool others_may_wait = false; ///< the limit is the node's: others meet it too, and repeat
};

/// A node over files in memory, with a bystander and somebody who administers.
class small_house {
public:
  explicit small_house(house_plan plan);

  [[nodiscard]] fault_env& env() { return env_; }
  [[nodiscard]] hosted_node& node() { return node_; }
  [[nodiscard]] std::uint16_t port() const { return node_.port(); }
  [[nodiscard]] client& admin() { return *admin_; }
  [[nodiscard]] store_statistics statistics() { return node_.running().statistics(); }

  /// Sends messages of so many bytes with the numbers from `first` on as their bodies' beginnings,
  /// one after the other or all at once. @returns their ids
  std::vector<std::string> send(const std::string& topic, std::size_t count, std::size_t bytes = 8);
  std::vector<std::string> send_at_once(const std::string& topic, std::size_t count,
                                        std::size_t bytes = 8);
  /// Consumes and acknowledges until all these were there, and nothing else is.
  void expect_messages(const std::string& topic, const std::string& group,
                       const std::vector<std::string>& ids);
  /// Group `group` of a topic with one partition as the node shows it.
  [[nodiscard]] group_info group(const std::string& topic, const std::string& group);

  /// The alarm for this key was told by now, or is within a moment.
  void expect_alarm(const std::string& words);
  /// `whose`: ` of orders#0, group billing`; empty: the node's.
  void expect_near(const std::string& key, const std::string& whose = {});
  /// `limit-near` of this key is raised at this moment.
  [[nodiscard]] bool is_near(const std::string& key);
  void expect_over(const std::string& key);

  /// The next write to the journal's or small store's log waits; to be let go by `let_disk_go`.
  void hold_disk();
  void let_disk_go();

  /// Stops and starts the node; the bystander's connection breaks.
  void restart();
  /// The bystander has noticed nothing, and every partition's books balance.
  void finish();

private:
  fault_env env_;
  house_plan plan_;
  hosted_node node_;
  std::shared_ptr<gate> gate_;
  std::optional<client> admin_;
  std::optional<bystander> other_;
};

/// A connection whose every answer is looked at. Belongs to the test's thread.
class rpc_peer {
public:
  explicit rpc_peer(std::uint16_t port);
  [[nodiscard]] wire::Session::Client& session() { return session_; }
  [[nodiscard]] kj::WaitScope& scope() { return rpc_.getWaitScope(); }
  /// Lets what comes in come in, until it is so. @returns whether it became so in time
  bool until(milliseconds patience, const std::function<bool()>& what);

  /// Lets go out what was asked and not waited for: it goes while this thread waits, and only then.
  void send_out() {
    until(5ms, [] { return false; });
  }

  /// Opens a producer. @returns none if it was, or why not
  ec open(const std::string& topic, const std::string& name, kj::Maybe<wire::Producer::Client>& to);

private:
  capnp::EzRpcClient rpc_;
  wire::Session::Client session_;
};

struct publish_answer {
  ec code = ec::none;
  std::string detail;
  std::uint64_t first = 0;
  bool repeated = false;
};

/// A producer that numbers its batches from 1 on, to partition 0.
class peer_producer {
public:
  peer_producer(rpc_peer& over, const std::string& topic, const std::string& name);
  /// The next batch, without waiting for its answer.
  kj::Promise<publish_answer> begin(const std::string& batch);
  publish_answer publish(const std::string& batch);
  /// Under a number of its own: a repeat, most likely.
  kj::Promise<publish_answer> begin_numbered(std::uint64_t number, std::uint64_t previous,
                                             const std::string& batch);
  publish_answer publish_numbered(std::uint64_t number, std::uint64_t previous,
                                  const std::string& batch);
  [[nodiscard]] rpc_peer& over() { return over_; }
  std::uint64_t last = 0; ///< the number that was given out last

private:
  rpc_peer& over_;
  kj::Maybe<wire::Producer::Client> producer_;
};

struct delivered_message {
  std::uint64_t offset = 0;
  std::uint32_t attempt = 0;
  std::chrono::steady_clock::time_point at;
};

/// A subscription to a topic with one partition, settled by hand, whose leases nobody extends.
class peer_consumer {
public:
  peer_consumer(rpc_peer& over, const std::string& topic, const std::string& group,
                std::uint32_t credit_messages = 1'000, std::uint64_t credit_bytes = 1u << 20);
  [[nodiscard]] ec refused() const { return refused_; } ///< `none`: it is subscribed
  [[nodiscard]] const std::vector<delivered_message>& got() const;
  /// Waits until so many have come in all.
  void await(std::size_t count);
  /// Whether nothing comes for so long.
  [[nodiscard]] bool stays_at(std::size_t count, milliseconds span);
  ec ack(std::uint64_t offset);
  ec nack(std::uint64_t offset, std::int64_t delay_ms = -1, const std::string& reason = "no");
  /// Without waiting for its answer.
  kj::Promise<ec> begin_nack(std::uint64_t offset, std::int64_t delay_ms,
                             const std::string& reason);
  ec extend(std::uint64_t offset, std::uint64_t lease_ms);
  /// @returns the words of the refusal; empty: it has this credit now
  std::string set_credit(std::uint32_t messages, std::uint64_t bytes);
  void close();

private:
  struct inbox;
  rpc_peer& over_;
  std::shared_ptr<std::vector<delivered_message>> got_;
  kj::Maybe<wire::Subscription::Client> subscription_;
  ec refused_ = ec::none;
};

/// A flag that sets a limit: `--net.sessions-max=3`.
[[nodiscard]] std::string flag(std::string_view key, std::uint64_t value);

} // namespace waybill::test
