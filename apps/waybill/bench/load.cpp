// See load.hpp.
#include "apps/waybill/bench/load.hpp"

#include "apps/waybill/command.hpp"
#include "apps/waybill/signals.hpp"

#include <thread>

namespace waybill::cli::bench {

namespace {

producer_options options_of(const plan& p) {
  producer_options o;
  o.waiting_messages_max = p.window;
  o.batch_messages_max = p.batch;
  o.batches_in_flight_max = p.in_flight;
  o.linger = p.linger;
  compress(o, p.compress_level);
  return o;
}

} // namespace

load::load(client depot, const std::string& topic, const plan& p, const body_maker& bodies)
    : plan_{p}, bodies_{bodies}, depot_{std::move(depot)}, to_{depot_.producer(topic,
                                                                               options_of(p))} {}

void load::run(const extent& e) {
  const auto start = clock::now();
  const auto first = sent_.load();
  for (auto now = start; goes_on(e, sent_ - first, now - start) && !stop_signal::requested();
       now = clock::now()) {
    auto at = now;
    if (plan_.rate > 0) {
      // From the moment it was due on, so that a stall is charged to every message it delays.
      at = start + due_after(sent_ - first, plan_.rate);
      std::this_thread::sleep_until(at);
    }
    send(sent_, at);
    sent_.fetch_add(1, std::memory_order_release);
  }
  to_.flush();
}

void load::send(std::uint64_t number, clock::time_point at) {
  outgoing_message m;
  m.body = bodies_.make({number, at});
  if (plan_.what == workload::latency) {
    try {
      to_.send(std::move(m));
      count(at);
    } catch (const unconfirmed_error& e) {
      give_up(number, e.what());
    }
    return;
  }
  to_.send_async(std::move(m), [this, number, at](result<receipt> r, const outgoing_message&) {
    if (r)
      count(at);
    else
      give_up(number, r.error().detail);
  });
}

void load::give_up(std::uint64_t number, const std::string& why) {
  if (outcome_.unconfirmed.empty())
    outcome_.why = why;
  outcome_.unconfirmed.push_back(number);
}

void load::forget() {
  outcome_.spans = {};
  outcome_.confirmed = 0;
  outcome_.unconfirmed.clear();
}

} // namespace waybill::cli::bench
