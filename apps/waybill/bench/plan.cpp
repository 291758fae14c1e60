// See plan.hpp.
#include "apps/waybill/bench/plan.hpp"

namespace waybill::cli::bench {

namespace {

constexpr std::chrono::seconds patience{30}; ///< for `messages_min`

std::string size_name(std::size_t bytes) {
  return bytes >= 1'024 && bytes % 1'024 == 0 ? std::to_string(bytes / 1'024) + "KiB"
                                              : std::to_string(bytes) + "B";
}

std::string base_name(const plan& p) {
  switch (p.what) {
  case workload::publish:
    return "W1-publish-" + size_name(p.size);
  case workload::latency:
    return "W2-latency";
  case workload::end_to_end:
    return "W3-end-to-end";
  case workload::paced:
    return "W3-paced-" + std::to_string(p.rate) + "/s";
  case workload::fan_in:
    return "W4-fan-in-" + std::to_string(p.producers) + "x" + std::to_string(p.producers);
  }
  return {};
}

} // namespace

plan usual_plan(workload what) {
  using std::chrono::seconds;
  plan p{.what = what};
  switch (what) {
  case workload::publish:
    p.warm_up = seconds{1};
    break;
  case workload::latency:
    p.warm_up = seconds{1};
    p.window = 1;
    p.linger = milliseconds{0};
    p.span = seconds{5};
    p.messages_min = 2'000;
    break;
  case workload::end_to_end:
    break;
  case workload::paced:
    p.rate = 5'000;
    p.linger =
        milliseconds{0}; // at this rate a batch has gathered when the one before is confirmed
    p.in_flight = 1;
    p.span = seconds{10};
    break;
  case workload::fan_in:
    p.warm_up = seconds{1};
    p.producers = 8;
    break;
  }
  return p;
}

bool has_consumer(workload what) noexcept {
  return what == workload::end_to_end || what == workload::paced;
}

bool goes_on(const extent& e, std::uint64_t sent, std::chrono::nanoseconds passed) {
  if (e.messages)
    return sent < *e.messages;
  return passed < e.span || (sent < e.messages_min && passed < patience);
}

std::chrono::nanoseconds due_after(std::uint64_t number, std::uint32_t rate) {
  return std::chrono::nanoseconds{
      static_cast<std::chrono::nanoseconds::rep>(static_cast<double>(number) * 1e9 / rate)};
}

std::string row_name(const plan& p) {
  const auto usual = usual_plan(p.what);
  auto name = base_name(p);
  if (p.what != workload::publish && p.size != usual.size)
    name += "-" + size_name(p.size);
  if (p.window != usual.window)
    name += "-window-" + std::to_string(p.window);
  if (p.batch != usual.batch)
    name += "-batch-" + std::to_string(p.batch);
  if (p.in_flight != usual.in_flight)
    name += "-in-flight-" + std::to_string(p.in_flight);
  if (p.linger != usual.linger)
    name += "-linger-" + to_string(p.linger);
  if (p.made_of == bodies::text)
    name += "-text";
  if (p.compress_level > 0)
    name += "-zstd-" + std::to_string(p.compress_level);
  if (p.partitions != usual.partitions)
    name += "-partitions-" + std::to_string(p.partitions);
  if (p.idle != usual.idle)
    name += "-idle-" + std::to_string(p.idle);
  if (p.prefetch != usual.prefetch)
    name += "-prefetch-" + std::to_string(p.prefetch);
  return name;
}

} // namespace waybill::cli::bench
