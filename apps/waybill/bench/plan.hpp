// What a measurement does: the workloads W1 to W4 of tests/peers, and what can be set about them.
#pragma once

#include "apps/waybill/duration.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace waybill::cli::bench {

enum class workload : std::uint8_t {
  publish,    ///< W1: one producer, a window of messages under way
  latency,    ///< W2: one message at a time
  end_to_end, ///< W3: W1 with a consumer that acknowledges beside it
  paced,      ///< W3 at a fixed rate
  fan_in      ///< W4: several producers, a topic and a connection each
};

/// What bodies are made of.
enum class bodies : std::uint8_t {
  random, ///< bytes that no layer below can make smaller
  text    ///< lines as a log has them, no two bodies alike
};

struct plan {
  workload what = workload::publish;
  std::size_t size = 1'024;     ///< of a body, in bytes
  std::uint32_t window = 1'000; ///< messages of one producer without a confirm, at most
  std::uint32_t batch = 1'000;  ///< messages of one batch, at most
  std::uint32_t in_flight = 8;  ///< batches of one producer and partition without a confirm
  bodies made_of = bodies::random;
  int compress_level = 0;                  ///< of batches, with zstd; 0: not at all
  std::uint32_t partitions = 1;            ///< of each topic
  std::uint32_t producers = 1;             ///< each with a topic
  std::uint32_t idle = 0;                  ///< sessions of producers that are open and say nothing
  std::uint32_t prefetch = 1'000;          ///< messages that the consumer holds, at most
  std::uint32_t rate = 0;                  ///< messages a second; 0: as fast as it goes
  milliseconds linger{2};                  ///< how long a batch waits for company
  milliseconds warm_up{0};                 ///< publishing that is not counted, before
  milliseconds span{8'000};                ///< of publishing; what is under way then is waited for
  std::uint64_t messages_min = 0;          ///< go on until there were so many, for 30 s at most
  std::optional<std::uint64_t> messages{}; ///< so many instead, however long it takes
};

/// As the workload is meant, where nothing else is asked for: what tests/peers does with others.
[[nodiscard]] plan usual_plan(workload what);
[[nodiscard]] bool has_consumer(workload what) noexcept;
/// The name of its rows: `W1-publish-1KiB`; what is not as usual is added: `…-window-4000`.
[[nodiscard]] std::string row_name(const plan& p);

/// How long a run goes on.
struct extent {
  milliseconds span{};
  std::uint64_t messages_min = 0;
  std::optional<std::uint64_t> messages{};
};
/// Whether to send another message, `sent` having gone in `passed`. With `messages` just so many;
/// else for the span, and beyond it until there are `messages_min`, for 30 s at most.
[[nodiscard]] bool goes_on(const extent& e, std::uint64_t sent, std::chrono::nanoseconds passed);
/// When a message is due that goes out at `rate` a second; the first one at once.
[[nodiscard]] std::chrono::nanoseconds due_after(std::uint64_t number, std::uint32_t rate);

/// A number and a time stand at the begin of a body where somebody will look for them.
constexpr std::size_t stamp_bytes = 16;

} // namespace waybill::cli::bench
