// One producer of a measurement: it sends as its plan says, and measures how long each confirm
// takes.
#pragma once

#include "apps/waybill/bench/body.hpp"
#include "apps/waybill/bench/histogram.hpp"
#include "apps/waybill/bench/plan.hpp"
#include "net/client/client.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace waybill::cli::bench {

class load {
public:
  /// Opens a producer of a connection of its own. @throws client_error
  load(client depot, const std::string& topic, const plan& p, const body_maker& bodies);
  load(const load&) = delete;
  load& operator=(const load&) = delete;

  /// Sends, and returns when the last message is confirmed or given up, or soon after a stop was
  /// asked for. May be called again: numbers go on. One thread at a time.
  void run(const extent& e);
  /// What was measured so far is forgotten. Between runs.
  void forget();

  // ---- Any thread
  [[nodiscard]] std::uint64_t confirmed() const noexcept { return outcome_.confirmed; }
  /// The number of the next message.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

  // ---- Between runs
  [[nodiscard]] const histogram& spans() const noexcept { return outcome_.spans; }
  /// The numbers of the messages that were given up.
  [[nodiscard]] const std::vector<std::uint64_t>& unconfirmed() const noexcept {
    return outcome_.unconfirmed;
  }
  /// Why the first of them was.
  [[nodiscard]] const std::string& why() const noexcept { return outcome_.why; }

private:
  /// Written by whoever learns of a confirm: the library's thread, or the sender that waits.
  struct outcome {
    histogram spans;
    std::vector<std::uint64_t> unconfirmed;
    std::string why;
    std::atomic<std::uint64_t> confirmed = 0;
  };
  void count(clock::time_point sent) {
    outcome_.spans.add(clock::now() - sent);
    outcome_.confirmed.fetch_add(1, std::memory_order_relaxed);
  }
  void give_up(std::uint64_t number, const std::string& why);
  /// Returns when it is on its way, but for W2: when it is confirmed.
  void send(std::uint64_t number, clock::time_point at);

  const plan plan_;
  const body_maker& bodies_;
  outcome outcome_; ///< outlives the producer, whose callbacks write here
  std::atomic<std::uint64_t> sent_ = 0;
  client depot_;
  producer to_;
};

} // namespace waybill::cli::bench
