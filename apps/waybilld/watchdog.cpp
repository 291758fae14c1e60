// See watchdog.hpp.
#include "apps/waybilld/watchdog.hpp"

#include <pthread.h>

namespace waybill {

watchdog::watchdog(watchdog_options options)
    : options_{std::move(options)}, thread_{[this] { run(); }} {
  ::pthread_setname_np(thread_.native_handle(), "watchdog");
}

watchdog::~watchdog() {
  {
    const std::lock_guard lock{guard_};
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void watchdog::run() {
  std::unique_lock lock{guard_};
  while (!changed_.wait_for(lock, options_.interval, [this] { return ending_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void watchdog::look() {
  const auto answered = options_.ask(options_.interval);
  if (!answered) {
    if (!std::exchange(unwell_, true))
      options_.log("the node does not answer: " + answered.error().detail);
    return;
  }
  if (std::exchange(unwell_, false))
    options_.log("the node answers again");
  options_.well();
}

} // namespace waybill
