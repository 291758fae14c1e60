// A thread for what takes long and must not hold up the storage writer: opening the next
// generation, removing old ones.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace waybill {

class worker {
public:
  worker();
  /// Ends after what runs now; what waits is not run.
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  /// In the order given. What runs may use only what outlives the worker.
  void run(std::function<void()> what);

private:
  void work();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

} // namespace waybill
