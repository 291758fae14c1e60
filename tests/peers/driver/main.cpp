// Load driver for several message brokers, plus a disk floor: one workload per invocation, one JSON
// object on stdout.
//
// The hot paths write and parse the wire protocol directly (AMQP 0-9-1 frames, the NATS text
// protocol, STOMP) or use hiredis pipelining, so that the driver costs little next to the server it
// measures. It is plain and asks nobody: whatever goes wrong ends it with a line on stderr.
#include "tests/peers/driver/amqp.hpp"
#include "tests/peers/driver/disk.hpp"
#include "tests/peers/driver/nats.hpp"
#include "tests/peers/driver/pump.hpp"
#include "tests/peers/driver/redis.hpp"
#include "tests/peers/driver/stomp.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <thread>

static std::unique_ptr<Producer> make_producer(const string& name, int i) {
  int port = O.ports[i % O.ports.size()];
  if (O.peer == "rabbitmq") {
    if (O.client == "lib")
      return std::make_unique<AmqpLibProducer>(port, name, O.replicas);
    return std::make_unique<AmqpProducer>(port, name, O.replicas);
  }
  if (O.peer == "nats") {
    if (O.client == "lib")
      return std::make_unique<NatsLibProducer>(name, O.replicas);
    return std::make_unique<NatsProducer>(name, O.replicas);
  }
  if (O.peer == "redis")
    return std::make_unique<RedisProducer>(O.ports[0], name);
  if (O.peer == "activemq")
    return std::make_unique<StompProducer>(O.ports[0], name);
  die("unknown peer %s", O.peer.c_str());
}
static std::unique_ptr<Consumer> make_consumer(const string& name, Producer* p) {
  if (O.peer == "rabbitmq")
    return std::make_unique<AmqpConsumer>(O.ports[0], name);
  if (O.peer == "nats")
    return std::make_unique<NatsConsumer>(name, ((NatsProducer*)p)->port, 0);
  if (O.peer == "redis")
    return std::make_unique<RedisConsumer>(O.ports[0], name);
  if (O.peer == "activemq")
    return std::make_unique<StompConsumer>(O.ports[0], name);
  die("unknown peer");
}

static vector<int> numbers(const string& text) {
  vector<int> v;
  for (size_t p = 0; p < text.size();) {
    v.push_back(atoi(text.c_str() + p));
    p = text.find(',', p);
    if (p == string::npos)
      break;
    p++;
  }
  return v;
}

static void read_options(int argc, char** argv) {
  using set = std::function<void(const string&)>;
  const auto text = [](string& to) -> set { return [&to](const string& v) { to = v; }; };
  const auto list = [](vector<int>& to) -> set {
    return [&to](const string& v) { to = numbers(v); };
  };
  const auto number = [](auto& to) -> set {
    return
        [&to](const string& v) { to = static_cast<std::decay_t<decltype(to)>>(atof(v.c_str())); };
  };
  const std::map<string, set> valued{{"--peer", text(O.peer)},
                                     {"--ports", list(O.ports)},
                                     {"--pids", list(O.pids)},
                                     {"--size", number(O.size)},
                                     {"--window", number(O.window)},
                                     {"--conns", number(O.conns)},
                                     {"--replicas", number(O.replicas)},
                                     {"--seconds", number(O.seconds)},
                                     {"--warmup", number(O.warmup)},
                                     {"--count", number(O.count)},
                                     {"--min-count", number(O.min_count)},
                                     {"--max-seconds", number(O.max_seconds)},
                                     {"--rate", number(O.rate)},
                                     {"--prefetch", number(O.prefetch)},
                                     {"--wait", text(O.wait_cmd)},
                                     {"--wait-need", number(O.wait_need)},
                                     {"--wait-batch", number(O.wait_batch)},
                                     {"--client", text(O.client)},
                                     {"--dir", text(O.dir)},
                                     {"--mode", text(O.mode)}};
  const std::map<string, bool*> flags{
      {"--consume", &O.consume}, {"--ack-multiple", &O.ack_multiple}, {"--keep", &O.keep}};
  for (int i = 1; i < argc; i++) {
    const string a = argv[i];
    if (const auto flag = flags.find(a); flag != flags.end()) {
      *flag->second = true;
      continue;
    }
    const auto found = valued.find(a);
    if (found == valued.end())
      die("unknown option %s", a.c_str());
    if (i + 1 >= argc)
      die("%s needs a value", a.c_str());
    found->second(argv[++i]);
  }
}

struct Pair {
  std::unique_ptr<Producer> producer;
  std::unique_ptr<Tracker> tracker;
};

static void pump_all(vector<Pair>& all, double secs, uint64_t min_count, uint64_t max_count) {
  vector<std::thread> threads;
  const int64_t deadline = now_ns() + (int64_t)(secs * 1e9);
  for (auto& each : all)
    threads.emplace_back([&] {
      pump(*each.producer, *each.tracker, O.window, deadline, min_count, max_count, O.rate);
    });
  for (auto& t : threads)
    t.join();
}

/// W1, W2 and W4.
static void run_publish(vector<Pair>& all) {
  if (O.warmup > 0)
    pump_all(all, O.warmup, 0, 0);
  uint64_t before = 0;
  for (auto& each : all) {
    before += each.tracker->conf;
    each.tracker->lat_us.clear();
    if (each.tracker->failed)
      die("refused publishes in the warm-up");
  }
  Meter m;
  m.begin();
  pump_all(all, O.seconds, O.min_count, O.count);
  m.end();
  vector<float> lat;
  uint64_t n = 0, failed = 0;
  for (auto& each : all) {
    n += each.tracker->conf;
    failed += each.tracker->failed;
    lat.insert(lat.end(), each.tracker->lat_us.begin(), each.tracker->lat_us.end());
  }
  m.report(n - before, O.size, lat, failed);
}

/// What has arrived at the consumer: each once, and how long it took.
struct Arrivals {
  vector<bool> seen;
  vector<float> lat;
  uint64_t got = 0, dups = 0;
  int64_t last = now_ns();
  void take(const char* b, size_t n) {
    if ((int)n != O.size)
      die("delivered %zu bytes, sent %d", n, O.size);
    uint64_t id;
    int64_t at;
    memcpy(&id, b, 8);
    memcpy(&at, b + 8, 8);
    last = now_ns();
    if (id >= seen.size())
      seen.resize(std::max<size_t>(id + 1, seen.size() * 2));
    if (seen[id]) {
      dups++;
      return;
    }
    seen[id] = true;
    got++;
    lat.push_back((last - at) / 1000.0f);
  }
};

/// W3, paced or not.
static void run_consume(Pair& all, Consumer& cons) {
  std::atomic<bool> done{false};
  Tracker& t = *all.tracker;
  Arrivals found;
  found.lat.reserve(1 << 22);
  Meter m;
  m.begin();
  double pub_s = 0;
  std::thread prod([&] {
    pump(*all.producer, t, O.window, now_ns() + (int64_t)(O.seconds * 1e9), 0, O.count, O.rate);
    pub_s = (now_ns() - m.t0) / 1e9;
    done = true;
  });
  for (;;) {
    cons.poll_msgs([&](const char* b, size_t n) { found.take(b, n); }, 20000000);
    if (done && found.got >= t.sent)
      break;
    if (now_ns() - found.last > 60000000000LL)
      die("no delivery for 60 s: %llu of %llu", (unsigned long long)found.got,
          (unsigned long long)t.sent);
  }
  cons.finish();
  m.end();
  prod.join();
  char extra[128];
  snprintf(extra, sizeof extra, ", \"duplicates\": %llu, \"publish_seconds\": %.3f",
           (unsigned long long)found.dups, pub_s);
  m.report(found.got, O.size, found.lat, t.failed, extra);
}

int main(int argc, char** argv) {
  read_options(argc, argv);
  if (O.peer == "disk")
    return run_disk();
  if (O.size < 16)
    die("--size must be at least 16");
  if (O.ports.empty())
    die("--ports is missing");
  const string tag = "q" + std::to_string(getpid());
  vector<Pair> all;
  for (int i = 0; i < O.conns; i++)
    all.push_back({make_producer(tag + "_" + std::to_string(i), i), std::make_unique<Tracker>()});
  if (O.consume) {
    const auto cons = make_consumer(tag + "_0", all[0].producer.get());
    run_consume(all[0], *cons);
  } else {
    run_publish(all);
  }
  if (!O.keep)
    for (auto& each : all)
      each.producer->cleanup();
  fflush(stdout);
  _exit(0); // connections, and threads of libraries, go with the process
}
