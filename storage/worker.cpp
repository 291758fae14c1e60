// The store's own thread.
#include "storage/worker.hpp"

namespace waybill {

worker::worker() : thread_{[this] { work(); }} {}

worker::~worker() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void worker::run(std::function<void()> what) {
  {
    std::lock_guard lock{mutex_};
    waiting_.push_back(std::move(what));
  }
  changed_.notify_all();
}

void worker::work() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_)
      return;
    const auto what = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    what();
    lock.lock();
  }
}

} // namespace waybill
