#include "net/rpc/outbox.hpp"

#include <kj/debug.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace waybill::rpc {

outbox::outbox() : event_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)} {
  KJ_REQUIRE(event_ >= 0, "the system gave no eventfd");
}

outbox::~outbox() { ::close(event_); }

void outbox::push(std::function<void()> work) {
  bool wakes = false;
  {
    const std::lock_guard lock{guard_};
    waiting_.push_back(std::move(work));
    wakes = !std::exchange(awake_, true);
  }
  if (wakes)
    wake();
}

void outbox::wake() const {
  const std::uint64_t one = 1;
  // Can only fail when the counter is full: then the loop is awake already.
  [[maybe_unused]] const auto written = ::write(event_, &one, sizeof one);
}

kj::Promise<void> outbox::run(kj::LowLevelAsyncIoProvider& io) {
  auto input = io.wrapInputFd(event_, kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK |
                                          kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC);
  auto running = next(*input);
  return running.attach(kj::mv(input));
}

kj::Promise<void> outbox::next(kj::AsyncInputStream& input) {
  return input.read(&count_, sizeof count_).then([this, &input] {
    std::vector<std::function<void()>> batch;
    {
      const std::lock_guard lock{guard_};
      batch.swap(waiting_);
      awake_ = false;
    }
    for (const auto& work : batch)
      work();
    return next(input);
  });
}

} // namespace waybill::rpc
