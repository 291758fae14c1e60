// `waybill bench`: how fast messages are confirmed, beside the floor of the disk in the same run.
#include "apps/waybill/command.hpp"
#include "apps/waybill/disk_floor.hpp"
#include "apps/waybill/histogram.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

namespace waybill::cli {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t floor_small = 1'024, floor_middle = 64 * 1'024, floor_large = 256 * 1'024;

constexpr const char* above_the_floor =
    "These figures are above the floor of the disk, which no broker can pass that syncs before it "
    "confirms: the machine was too busy while the floor was measured for it to mean something. "
    "Measure again when nothing else works.";

struct settings {
  std::size_t size = 1'024;
  std::uint32_t window = 4'000, batch = 1'000, partitions = 1;
  std::optional<milliseconds> seconds, linger;
  std::optional<std::uint64_t> messages;
  std::string floor_dir = ".";
};

/// A topic with a name that nobody else has, deleted at the end, however that comes.
class bench_topic {
public:
  bench_topic(context& c, client& depot, std::uint32_t partitions) : c_{c}, depot_{depot} {
    std::random_device source;
    name_ = "bench-" + std::to_string(source()) + "-" + std::to_string(source());
    depot_.create_topic(name_, partitions);
  }
  ~bench_topic() {
    try {
      depot_.delete_topic(name_);
    } catch (const std::exception& e) {
      c_.err.note("Topic " + name_ + " of this measurement is still there: " + e.what());
    }
  }
  bench_topic(const bench_topic&) = delete;
  bench_topic& operator=(const bench_topic&) = delete;
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

private:
  context& c_;
  client& depot_;
  std::string name_;
};

/// What the library's threads and the measuring one share.
struct measured {
  std::mutex mutex;
  histogram spans;
  std::uint64_t failed = 0;
  std::string why; ///< of the first failure
  std::atomic<std::uint64_t> confirmed = 0;

  void add(clock::duration span) {
    const std::lock_guard lock{mutex};
    spans.add(span);
    ++confirmed;
  }
  void fail(const std::string& detail) {
    const std::lock_guard lock{mutex};
    if (failed++ == 0)
      why = detail;
  }
};

/// Bodies that are not alike: a counter before random bytes.
class body_source {
public:
  explicit body_source(std::size_t size) : body_(size, '\0') {
    std::mt19937_64 random{std::random_device{}()};
    for (auto& each : body_)
      each = static_cast<char>(random());
  }
  std::string next() {
    ++count_;
    for (std::size_t i = 0; i < std::min<std::size_t>(8, body_.size()); ++i)
      body_[i] = static_cast<char>(count_ >> (8 * i));
    return body_;
  }

private:
  std::string body_;
  std::uint64_t count_ = 0;
};

/// Who else wants the processors: the average of the last minute.
double load_now() {
  double load = 0;
  return ::getloadavg(&load, 1) == 1 ? load : 0;
}

double in_ms(std::chrono::nanoseconds span) { return static_cast<double>(span.count()) / 1e6; }

class bench_run {
public:
  bench_run(context& c, settings s) : c_{c}, s_{s} {}

  status publish() {
    client depot = c_.connect();
    measure_disk();
    const bench_topic topic{c_, depot, s_.partitions};
    producer_options options;
    options.waiting_messages_max = s_.window;
    options.batch_messages_max = s_.batch;
    options.linger = s_.linger.value_or(options.linger);
    producer to = depot.producer(topic.name(), options);
    double took = 0;
    {
      const progress shown{c_.err, [this] { return progress_line(); }};
      body_source bodies{s_.size};
      start_ = clock::now();
      for (std::uint64_t sent = 0; goes_on(sent); ++sent)
        send(to, bodies.next());
      to.flush();
      took = since_start();
    }
    return tell_publish(took);
  }

  status latency() {
    client depot = c_.connect();
    measure_disk();
    const bench_topic topic{c_, depot, s_.partitions};
    producer_options options;
    options.linger = milliseconds{0}; // alone: company will not come
    producer to = depot.producer(topic.name(), options);
    {
      const progress shown{c_.err, [this] { return progress_line(); }};
      body_source bodies{s_.size};
      to.send(bodies.next()); // connects; not counted
      start_ = clock::now();
      for (std::uint64_t sent = 0; goes_on(sent); ++sent) {
        const auto at = clock::now();
        to.send(bodies.next());
        measured_->add(clock::now() - at);
      }
    }
    return tell_latency();
  }

private:
  void measure_disk() {
    c_.err.note("Measuring the disk in `" + s_.floor_dir + "`.");
    const auto cores = std::max(1u, std::thread::hardware_concurrency());
    if (load_before_ = load_now(); load_before_ > cores)
      c_.err.note("The load of this machine is " + fixed(load_before_, 1) + " on " +
                  counted(cores, "core") +
                  ": these figures will say more about it than about the disk.");
    auto floors =
        measure_floor(s_.floor_dir, {floor_small, floor_middle, floor_large}, milliseconds{1'000});
    if (!floors)
      throw client_error{floors.error()};
    floors_ = std::move(*floors);
    if (stop_signal::requested())
      throw client_error{{ec::stopping, "Stopped by a signal: nothing was measured."}};
  }

  bool goes_on(std::uint64_t sent) const {
    if (stop_signal::requested())
      return false;
    if (s_.messages)
      return sent < *s_.messages;
    return clock::now() - start_.load() < s_.seconds.value_or(milliseconds{10'000});
  }

  void send(producer& to, std::string body) {
    const auto at = clock::now();
    to.send_async({.key = {}, .headers = {}, .body = std::move(body)},
                  [all = measured_, at](result<receipt> r, const outgoing_message&) {
                    if (r)
                      all->add(clock::now() - at);
                    else
                      all->fail(r.error().detail);
                  });
  }

  std::string progress_line() const {
    const double took = since_start();
    double fraction = -1;
    if (s_.messages)
      fraction = static_cast<double>(measured_->confirmed) / static_cast<double>(*s_.messages);
    else
      fraction =
          took * 1e3 / static_cast<double>(s_.seconds.value_or(milliseconds{10'000}).count());
    return progress_text({measured_->confirmed, "message", took, std::min(fraction, 1.0)});
  }

  [[nodiscard]] double since_start() const {
    return std::chrono::duration<double>(clock::now() - start_.load()).count();
  }

  status verdict() {
    if (measured_->failed > 0)
      report_error(c_, "unconfirmed",
                   counted(measured_->failed, "message") +
                       " not confirmed; the first: " + measured_->why,
                   true);
    if (stop_signal::requested())
      c_.err.note("Stopped by a signal: these are the figures so far.");
    const bool whole =
        measured_->failed == 0 && !stop_signal::requested() && measured_->confirmed > 0;
    return whole ? status::done : status::failed;
  }

  status tell_publish(double took) {
    const std::lock_guard lock{measured_->mutex};
    const auto count = measured_->spans.count();
    const double rate = static_cast<double>(count) / std::max(took, 1e-9);
    const double megabytes = rate * static_cast<double>(s_.size) / 1e6;
    const auto share = share_of_floor(megabytes, floors_[2].megabytes_per_second);
    const auto p = [&](double part) { return in_ms(measured_->spans.percentile(part)); };
    json object{{"bench", "publish"},
                {"messages", count},
                {"seconds", took},
                {"size", s_.size},
                {"window", s_.window},
                {"batch", s_.batch},
                {"partitions", s_.partitions},
                {"messages_per_second", rate},
                {"megabytes_per_second", megabytes},
                {"latency_ms", {{"p50", p(0.5)}, {"p99", p(0.99)}, {"p999", p(0.999)}}},
                {"ratio_to_floor_256k", share ? json(*share) : json()},
                {"machine_load", load_before_},
                {"floor", floor_json(floors_)}};
    table t{{{"PUBLISH"}, {"", align::right}}};
    t.add({"messages confirmed", grouped(count)});
    t.add({"body", grouped(s_.size) + " B"});
    t.add({"window", grouped(s_.window)});
    t.add({"batch at most", grouped(s_.batch)});
    t.add({"seconds", fixed(took, 2)});
    t.add({"messages/s", grouped(static_cast<std::uint64_t>(rate))});
    t.add({"MB/s", fixed(megabytes, 1)});
    t.add({"latency p50 ms", fixed(p(0.5), 3)});
    t.add({"latency p99 ms", fixed(p(0.99), 3)});
    t.add({"latency p99.9 ms", fixed(p(0.999), 3)});
    t.add({"of the 256 KiB floor", share ? fixed(100 * *share, 1) + " %" : "?"});
    answer(c_, object, floor_text(floors_) + "\n" + t.text());
    if (!share && measured_->confirmed > 0)
      c_.err.note(above_the_floor);
    return verdict();
  }

  status tell_latency() {
    const std::lock_guard lock{measured_->mutex};
    const auto median = measured_->spans.percentile(0.5), p99 = measured_->spans.percentile(0.99);
    const auto share = share_of_floor(1 / std::max(in_ms(median), 1e-9),
                                      1 / std::max(in_ms(floors_[0].median), 1e-9));
    json object{{"bench", "latency"},
                {"messages", measured_->spans.count()},
                {"size", s_.size},
                {"median_ms", in_ms(median)},
                {"p99_ms", in_ms(p99)},
                {"ratio_to_floor_1k", share ? json(1 / *share) : json()},
                {"machine_load", load_before_},
                {"floor", floor_json(floors_)}};
    table t{{{"LATENCY, ONE AT A TIME"}, {"", align::right}}};
    t.add({"messages confirmed", grouped(measured_->spans.count())});
    t.add({"body", grouped(s_.size) + " B"});
    t.add({"median ms", fixed(in_ms(median), 3)});
    t.add({"p99 ms", fixed(in_ms(p99), 3)});
    t.add({"times the 1 KiB floor", share ? fixed(1 / *share, 2) : "?"});
    answer(c_, object, floor_text(floors_) + "\n" + t.text());
    if (!share && measured_->confirmed > 0)
      c_.err.note(above_the_floor);
    return verdict();
  }

  context& c_;
  settings s_;
  std::vector<disk_floor> floors_;
  double load_before_ = 0;
  std::shared_ptr<measured> measured_ = std::make_shared<measured>();
  std::atomic<clock::time_point> start_{clock::now()}; // read by the progress thread
};

CLI::App* add(CLI::App& bench, const std::string& name, const std::string& about, settings& s) {
  auto* command = bench.add_subcommand(name, about);
  command->add_option("--size", s.size, "Bytes of a body")
      ->check(whole_number(0, 16u << 20))
      ->capture_default_str();
  auto* span = add_duration(*command, "--seconds", s.seconds, "For so long (10s)");
  command->add_option("--messages", s.messages, "So many messages, however long it takes")
      ->type_name("N")
      ->check(whole_number(1, 1'000'000'000'000))
      ->excludes(span);
  command->add_option("--partitions", s.partitions, "Of the topic that is made for it")
      ->check(whole_number(1, 1'000))
      ->capture_default_str();
  command
      ->add_option("--floor-dir", s.floor_dir, "Where to measure the disk: the node's, if you can")
      ->type_name("DIR")
      ->capture_default_str();
  return command;
}

} // namespace

void add_bench_commands(CLI::App& app, context& c) {
  auto* bench = app.add_subcommand("bench", "Measure confirms, beside the floor of the disk");
  bench->require_subcommand(1);
  bench->footer("Makes a topic of its own and deletes it at the end.\n"
                "Example: waybill bench publish --floor-dir /var/lib/waybill");
  auto s = std::make_shared<settings>();

  auto* flow =
      add(*bench, "publish", "Many at once: messages per second, and how long each takes", *s);
  flow->add_option("--window", s->window, "Messages not yet confirmed at most")
      ->check(whole_number(1, 10'000'000))
      ->capture_default_str();
  flow->add_option("--batch", s->batch, "Messages of one batch at most")
      ->check(whole_number(1, 10'000))
      ->capture_default_str();
  add_duration(*flow, "--linger", s->linger, "How long a batch waits for company (2ms)");
  flow->footer("Example: waybill bench publish --size 1024 --window 4000 --seconds 10 --json");
  flow->callback([s, &c] { c.run = [s, &c] { return bench_run{c, *s}.publish(); }; });

  auto* single = add(*bench, "latency", "One at a time: how long a confirm takes", *s);
  single->footer("Example: waybill bench latency --messages 2000 --floor-dir /var/lib/waybill");
  single->callback([s, &c] { c.run = [s, &c] { return bench_run{c, *s}.latency(); }; });
}

} // namespace waybill::cli
