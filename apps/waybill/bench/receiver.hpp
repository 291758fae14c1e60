// The consumer of a measurement: takes each message, looks whether it is one that was sent,
// acknowledges it, and measures how long it was under way.
#pragma once

#include "apps/waybill/bench/arrivals.hpp"
#include "apps/waybill/bench/body.hpp"
#include "apps/waybill/bench/histogram.hpp"
#include "net/client/client.hpp"

#include <atomic>
#include <cstdint>
#include <string>

namespace waybill::cli::bench {

class receiver {
public:
  /// Subscribes, over a connection of its own. @throws client_error
  receiver(client depot, const std::string& topic, std::uint32_t prefetch,
           const body_maker& bodies);
  receiver(const receiver&) = delete;
  receiver& operator=(const receiver&) = delete;

  /// Returns when so many different messages as `expect` told have arrived and their
  /// acknowledgements are committed, or when none has come for 60 s.
  /// @throws client_error `damaged`: a message that was not sent so
  void run();
  /// Nothing more is sent, and so many are known to be there. From another thread.
  void expect(std::uint64_t messages) noexcept { expected_ = messages; }

  /// Any thread.
  [[nodiscard]] std::uint64_t arrived() const noexcept { return arrived_; }

  // ---- After `run`
  [[nodiscard]] const arrivals& seen() const noexcept { return seen_; }
  [[nodiscard]] const histogram& spans() const noexcept { return spans_; }
  [[nodiscard]] std::uint64_t late_acks() const noexcept { return late_acks_; }

private:
  void take(const message& m);

  const body_maker& bodies_;
  arrivals seen_;
  histogram spans_;
  std::uint64_t late_acks_ = 0;
  std::atomic<std::uint64_t> arrived_ = 0;
  std::atomic<std::uint64_t> expected_{~0ull};
  client depot_;
  consumer from_;
};

} // namespace waybill::cli::bench
