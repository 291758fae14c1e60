// See receiver.hpp.
#include "apps/waybill/bench/receiver.hpp"

namespace waybill::cli::bench {

namespace {

constexpr std::chrono::seconds patience{60};
constexpr milliseconds look_again{20}; ///< whether all is there

consume_options options_of(std::uint32_t prefetch) {
  consume_options o;
  o.credit_messages = prefetch;
  return o;
}

} // namespace

receiver::receiver(client depot, const std::string& topic, std::uint32_t prefetch,
                   const body_maker& bodies)
    : bodies_{bodies}, depot_{std::move(depot)}, from_{depot_.subscribe(topic, "bench",
                                                                        options_of(prefetch))} {}

void receiver::run() {
  auto last = clock::now();
  while (seen_.count() < expected_ && clock::now() - last < patience) {
    const auto m = from_.next(look_again);
    if (!m)
      continue;
    take(*m);
    from_.ack(*m);
    last = clock::now();
  }
  late_acks_ = from_.flush();
}

void receiver::take(const message& m) {
  const auto now = clock::now();
  const auto found = bodies_.read(m.body());
  if (!found)
    throw client_error{
        {ec::damaged, "Message " + m.id() +
                          " was delivered with other bytes than it "
                          "was sent with: stop using this node, and keep its data."}};
  if (!seen_.add(found->number))
    return;
  spans_.add(now - found->sent);
  arrived_.fetch_add(1, std::memory_order_relaxed);
}

} // namespace waybill::cli::bench
