// What all objects of one client share: its options, and the one background thread with a KJ loop
// on which every connection, timer and answer lives. Work is handed over as closures.
#pragma once

#include "net/client/client.hpp"

#include <kj/async-io.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace waybill::client_parts {

using steady_clock = std::chrono::steady_clock;
using steady_time = steady_clock::time_point;

class link;

struct server_address {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] std::string text() const { return host + ":" + std::to_string(port); }
};

/// HOST:PORT, several with commas between; `[…]` around an IPv6 address.
/// @errors `bad_argument`
[[nodiscard]] result<std::vector<server_address>> parse_servers(const std::string& text);

/// The loop thread holds one as well, so an object may outlive its client by as long as it likes.
class core : public std::enable_shared_from_this<core> {
public:
  core(std::vector<server_address> addresses, client_options chosen);
  ~core();
  core(const core&) = delete;
  core& operator=(const core&) = delete;

  /// Any thread: `task` will run on the loop, in the order of posting. After the loop's end it is
  /// destroyed instead.
  void post(std::function<void()> task);
  /// Any thread but the loop's: runs `task` there and waits for it.
  void run_there(const std::function<void()>& task);
  [[nodiscard]] bool on_loop() const noexcept;
  /// Calls that block may not be made by a callback. @throws client_error `bad_argument`
  void must_not_be_on_loop(const char* call) const;
  /// Loop only, and null at its end.
  [[nodiscard]] link* net() const noexcept { return link_; }
  /// A line for people. Any thread.
  void log(const std::string& line) const noexcept;

  const std::vector<server_address> servers;
  const client_options options;

private:
  friend class lifeline;
  void run();
  kj::Promise<void> drain(kj::AsyncInputStream& wakes, kj::PromiseFulfiller<void>& ended);
  void request_stop();
  void wake() noexcept;

  int event_fd_ = -1;
  link* link_ = nullptr;
  char event_buffer_[8] = {};
  std::atomic<std::thread::id> loop_id_{};
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  bool stop_ = false;
  bool ended_ = false;
};

/// Keeps the loop running; every handle of a user holds one. The last one to go ends the thread.
class lifeline {
public:
  explicit lifeline(std::shared_ptr<core> of);
  ~lifeline();
  lifeline(const lifeline&) = delete;
  lifeline& operator=(const lifeline&) = delete;

private:
  std::shared_ptr<core> core_;
  std::thread thread_;
};

/// Calls `task` at the earliest of the times asked for, on the loop, from an event of its own:
/// `task` may ask again, and may end the object that holds this.
class waker {
public:
  waker(kj::Timer& timer, kj::TaskSet& tasks, std::function<void()> task)
      : timer_{timer}, tasks_{tasks}, task_{std::move(task)} {}
  void at(steady_time when);

private:
  kj::Timer& timer_;
  kj::TaskSet& tasks_;
  std::function<void()> task_; ///< holds its target weakly
  bool armed_ = false;
  steady_time armed_at_{};
  kj::Promise<void> sleep_ = nullptr;
};

[[nodiscard]] kj::Duration to_kj(steady_clock::duration span);

} // namespace waybill::client_parts
