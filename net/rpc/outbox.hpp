// From any thread to the KJ loop: what sessions tell a connection waits here until the loop, woken
// once for many, carries it out. Source: docs/design.md, section 3 ("Facts measured").
#pragma once

#include <kj/async-io.h>

#include <functional>
#include <mutex>
#include <vector>

namespace waybill::rpc {

class outbox {
public:
  outbox();
  ~outbox();
  outbox(const outbox&) = delete;
  outbox& operator=(const outbox&) = delete;

  /// To be run on the loop, in the order of the calls. Any thread; never blocks for long.
  void push(std::function<void()> work);
  /// Runs what arrives until the promise is dropped. Call once, on the loop.
  [[nodiscard]] kj::Promise<void> run(kj::LowLevelAsyncIoProvider& io);

private:
  [[nodiscard]] kj::Promise<void> next(kj::AsyncInputStream& input);
  void wake() const;
  std::mutex guard_;
  std::vector<std::function<void()>> waiting_;
  bool awake_ = false; ///< the loop has been told and has not looked yet
  int event_;          ///< an eventfd
  std::uint64_t count_ = 0;
};

} // namespace waybill::rpc
