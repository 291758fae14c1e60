// Says again and again that the node is well, for as long as it is: only when everything in it has
// answered. Whoever listens (the service manager) ends a process that it hears nothing of.
#pragma once

#include "storage/error.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace waybill {

using std::chrono::milliseconds;

struct watchdog_options {
  milliseconds interval; ///< from one question to the next, and how long an answer may take
  /// Asks the node; a failure's words name who has not answered.
  std::function<result<void>(milliseconds)> ask;
  std::function<void()> well; ///< called after each good answer
  /// A line for people, when answers begin to fail and when they are good again.
  std::function<void(const std::string&)> log;
};

/// All of its calls come from a thread of its own.
class watchdog {
public:
  explicit watchdog(watchdog_options options);
  /// Waits for a question that is under way.
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

private:
  void run();
  void look();

  watchdog_options options_;
  bool unwell_ = false; ///< the last answer was a failure
  std::mutex guard_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::thread thread_;
};

} // namespace waybill
