// A node in the test's own process: started, stopped, cut off from its power, and started again on
// the same directory and the same port, as an operator would find it.
#pragma once

#include "apps/node/node.hpp"
#include "net/client/client.hpp"
#include "tests/support/fault_env.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace waybill::test {

struct hosting {
  fault_env* env = nullptr; ///< null: the machine's files
  std::string directory = "/data/node";
  std::vector<std::string> flags{};           ///< further ones, `--group.key=value`
  std::function<std::uint64_t()> disk_free{}; ///< null: as the machine's disk says
  /// What the program adds to its node.
  std::function<void(node_config&)> extend{};
  /// Limits by key, beside the flags: out of their range if need be.
  std::vector<std::pair<std::string, limit_value>> bounds{};
};

class hosted_node {
public:
  explicit hosted_node(hosting how) : how_{std::move(how)} {}
  ~hosted_node() { end(); }

  /// On the port of the first start, if there was one.
  [[nodiscard]] result<void> try_start();
  /// As `try_start`. @throws std::runtime_error with the failure's words
  void start();
  /// Stops it cleanly, if it runs.
  void end();
  /// Whether the node has ended by itself, which is waited for so long.
  [[nodiscard]] std::optional<failure> await_failure(milliseconds patience);
  /// Everything that the Env keeps and that was not synced is lost, the node is destroyed.
  void cut_power(std::uint64_t seed);

  [[nodiscard]] node& running() { return *node_; }
  [[nodiscard]] caf::actor_system& system() { return node_->system(); }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string server() const { return "127.0.0.1:" + std::to_string(port_); }
  /// What it has said to people so far, all its lives together.
  [[nodiscard]] std::vector<std::string> said() const;
  /// Whether a line has these words in it.
  [[nodiscard]] bool has_said(const std::string& words) const;

private:
  /// Outlives the node: its threads may still speak while it ends.
  struct notes {
    std::mutex guard;
    std::condition_variable changed;
    std::vector<std::string> said;
    std::optional<failure> failed; ///< the node that runs now
  };

  hosting how_;
  std::uint16_t port_ = 0;
  std::unique_ptr<node_config> config_; ///< the node's, which it must outlive
  std::shared_ptr<notes> notes_ = std::make_shared<notes>();
  std::unique_ptr<node> node_;
};

/// A directory of the machine that is gone with the object.
class temporary_directory {
public:
  temporary_directory();
  ~temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

/// A client that says nothing of its connections.
[[nodiscard]] client_options quiet();
/// The seed of a random test: `WAYBILL_SEED`, or another one each time. It is printed.
[[nodiscard]] std::uint64_t drawn_seed();
/// A number from the environment, or else the short form's.
[[nodiscard]] std::uint64_t from_environment(const char* name, std::uint64_t otherwise);
/// Memory of this process that is in use, in bytes.
[[nodiscard]] std::uint64_t resident_bytes();
/// Looks every few milliseconds. @returns whether it became true in time
[[nodiscard]] bool comes_true(milliseconds patience, const std::function<bool()>& what);

} // namespace waybill::test
