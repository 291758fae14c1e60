// A whole node in a process: the store, the actors, the server. What `waybilld` runs, and what a
// node of one's own and the tests stand on.
#pragma once

#include "actors/messages.hpp"
#include "config/node_config.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace leveldb {
class Env;
}

namespace waybill {

enum class log_level : std::uint8_t { info, warning, error };

struct node_options {
  /// A line for people. Any thread.
  std::function<void(log_level, const std::string&)> log;
  leveldb::Env* env = nullptr; ///< null: the machine's files; tests put theirs here
  /// Bytes free on the data directory's disk; null: as its file system says. Any thread.
  std::function<std::uint64_t()> disk_free{};
};

class node {
public:
  /// Opens the store, recovers, listens; returns when every partition that can lead does.
  /// `config` outlives the node. @errors `directory_held`, `damaged`, `version_unsupported`,
  /// `storage_failed`, `bad_argument` (the address)
  [[nodiscard]] static result<std::unique_ptr<node>> start(node_config& config,
                                                           node_options options);
  /// As `stop`, if it was not called.
  ~node();

  [[nodiscard]] std::uint16_t port() const;
  /// A clean stop: no new connections; what is in flight is answered or left for the next start;
  /// subscriptions give back what they hold; a checkpoint; then everything ends.
  void stop();
  /// Why the node has ended by itself; nothing while it runs.
  [[nodiscard]] std::optional<failure> failed() const;
  /// Calls back once, from another thread, when the node ends by itself.
  void on_failure(std::function<void(const failure&)> then);

  /// Whether what it cannot serve without still answers: each of its actors that nobody else stands
  /// in for, and the server's loop, all asked at once. One that its parent is starting again counts
  /// as answering. Any thread, while it runs.
  /// @errors `timed_out`: who has not answered within `patience`
  [[nodiscard]] result<void> answers(milliseconds patience);

  /// What its store has done and holds, for metrics and tests. Any thread, while it runs.
  [[nodiscard]] store_statistics statistics() const;

  /// The actor with a role now (actors/context.hpp), for tests and for extensions.
  [[nodiscard]] caf::actor_system& system();

private:
  struct impl;
  explicit node(std::unique_ptr<impl> started);
  std::unique_ptr<impl> impl_;
};

} // namespace waybill
