// See measurement.hpp.
#include "apps/waybill/bench/measurement.hpp"

#include "apps/waybill/bench/load.hpp"
#include "apps/waybill/bench/receiver.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

#include <cstdlib>
#include <future>
#include <list>
#include <random>
#include <thread>

namespace waybill::cli::bench {

namespace {

/// 1, 64 and 256 KiB: what a message alone, a few, and a whole group commit write.
const std::vector<std::size_t> floor_sizes{1'024, 64 * 1'024, 256 * 1'024};
constexpr milliseconds floor_span{500}; ///< for each size, before and again after

/// A topic with a name that nobody else has, deleted at the end, however that comes.
class own_topic {
public:
  own_topic(context& c, client& depot, std::uint32_t partitions) : c_{c}, depot_{depot} {
    std::random_device source;
    name_ = "bench-" + std::to_string(source()) + "-" + std::to_string(source());
    depot_.create_topic(name_, partitions);
  }
  ~own_topic() {
    try {
      depot_.delete_topic(name_);
    } catch (const std::exception& e) {
      c_.err.note("Topic " + name_ + " of this measurement is still there: " + e.what());
    }
  }
  own_topic(const own_topic&) = delete;
  own_topic& operator=(const own_topic&) = delete;
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

private:
  context& c_;
  client& depot_;
  std::string name_;
};

/// Who else wants the processors: the average of the last minute.
double load_now() {
  double load = 0;
  return ::getloadavg(&load, 1) == 1 ? load : 0;
}

std::vector<disk_floor> floor_of(const std::string& directory) {
  auto floors = measure_floor(directory, floor_sizes, floor_span);
  if (!floors)
    throw client_error{floors.error()};
  return *std::move(floors);
}

class measurement {
public:
  measurement(context& c, const plan& p)
      : c_{c}, plan_{p}, bodies_{p.size, p.made_of}, depot_{c.connect()} {}

  measured take(const std::string& floor_dir) {
    row_.what = plan_;
    row_.cores = std::max(1u, std::thread::hardware_concurrency());
    row_.load = load_now();
    open(); // first, for a node that is not there is told at once
    c_.err.note("Measuring the disk in `" + floor_dir + "`, before and after.");
    row_.floors = floor_of(floor_dir);
    if (stop_signal::requested())
      throw client_error{{ec::stopping, "Stopped by a signal: nothing was measured."}};
    load_node();
    count();
    if (!stop_signal::requested())
      row_.floors = mean_of(row_.floors, floor_of(floor_dir));
    return {std::move(row_), std::move(faults_)};
  }

private:
  void open() {
    for (std::uint32_t i = 0; i < plan_.producers; ++i) {
      topics_.emplace_back(c_, depot_, plan_.partitions);
      loads_.emplace_back(c_.connect(), topics_.back().name(), plan_, bodies_);
    }
    for (std::uint32_t i = 0; i < plan_.idle; ++i)
      idle_.push_back(depot_.producer(topics_.front().name()));
    if (has_consumer(plan_.what))
      receiver_.emplace(c_.connect(), topics_.front().name(), plan_.prefetch, bodies_);
  }

  void load_node() {
    start_ = clock::now();
    const progress shown{c_.err, [this] { return progress_line(); }};
    if (plan_.warm_up > milliseconds{0}) {
      run_all({.span = plan_.warm_up});
      tell_given_up("in the warm-up");
      for (auto& each : loads_)
        each.forget();
    }
    const auto before = read_before(depot_);
    start_ = clock::now();
    is_warm_ = true;
    run_with_consumer({plan_.span, plan_.messages_min, plan_.messages});
    const auto spent = cost_between(before, read_after(depot_));
    if (!spent)
      throw client_error{spent.error()};
    row_.spent = *spent;
  }

  /// All producers at once; returns when the last one is done.
  void run_all(const extent& e) {
    std::vector<std::future<void>> running;
    for (auto& each : loads_)
      running.push_back(std::async(std::launch::async, [&each, e] { each.run(e); }));
    for (auto& each : running)
      each.get();
  }

  void run_with_consumer(const extent& e) {
    if (!receiver_)
      return run_all(e);
    auto consuming = std::async(std::launch::async, [this] { receiver_->run(); });
    try {
      run_all(e);
    } catch (...) {
      receiver_->expect(0);
      throw;
    }
    row_.delivered.emplace().publish_seconds = since_start();
    const auto& only = loads_.front();
    receiver_->expect(only.sent() - only.unconfirmed().size());
    consuming.get();
  }

  void count() {
    tell_given_up("");
    for (const auto& each : loads_) {
      row_.messages += each.confirmed();
      row_.failed += each.unconfirmed().size();
      row_.latency.add(each.spans());
    }
    if (receiver_)
      count_deliveries(loads_.front());
    if (stop_signal::requested())
      faults_.emplace_back("Stopped by a signal: these are the figures so far.");
    else if (row_.messages == 0)
      faults_.emplace_back("No message was confirmed.");
  }

  void count_deliveries(const load& sent) {
    const auto& seen = receiver_->seen();
    row_.messages = seen.count();
    row_.latency = receiver_->spans();
    row_.delivered->duplicates = seen.duplicates();
    row_.delivered->missing = seen.missing(sent.sent(), sent.unconfirmed());
    row_.delivered->late_acks = receiver_->late_acks();
    if (row_.delivered->missing > 0)
      faults_.push_back(
          counted(row_.delivered->missing, "message") +
          " confirmed and not delivered: look at the node's log, and at `waybill audit`.");
    if (row_.delivered->late_acks > 0)
      faults_.push_back(counted(row_.delivered->late_acks, "acknowledgement") +
                        " came too late: the lease had run out.");
  }

  void tell_given_up(const std::string& when) {
    for (const auto& each : loads_)
      if (!each.unconfirmed().empty())
        faults_.push_back(counted(each.unconfirmed().size(), "message") + " not confirmed" +
                          (when.empty() ? "" : " " + when) + "; the first: " + each.why());
  }

  std::string progress_line() const {
    std::uint64_t count = 0;
    for (const auto& each : loads_)
      count += each.confirmed();
    if (receiver_)
      count = receiver_->arrived();
    const double took = since_start();
    const auto span = is_warm_ ? plan_.span : plan_.warm_up;
    const double fraction =
        is_warm_ && plan_.messages
            ? static_cast<double>(count) / static_cast<double>(*plan_.messages * plan_.producers)
            : took * 1e3 / static_cast<double>(std::max<milliseconds::rep>(span.count(), 1));
    return (is_warm_ ? "" : "Warming up: ") +
           progress_text({count, "message", took, std::min(fraction, 1.0)});
  }

  [[nodiscard]] double since_start() const {
    return std::chrono::duration<double>(clock::now() - start_.load()).count();
  }

  context& c_;
  const plan plan_;
  const body_maker bodies_;
  client depot_; ///< for all but the messages
  std::list<own_topic> topics_;
  std::list<load> loads_;
  std::vector<producer> idle_;
  std::optional<receiver> receiver_;
  row row_;
  std::vector<std::string> faults_;
  // Read by the progress thread as well.
  std::atomic<clock::time_point> start_{clock::now()};
  std::atomic<bool> is_warm_ = false;
};

} // namespace

measured measure(context& c, const plan& p, const std::string& floor_dir) {
  return measurement{c, p}.take(floor_dir);
}

} // namespace waybill::cli::bench
