// One consumer holds one message and extends its lease, while millions of others pass through the
// same partition and group. Measures, step by step, what that costs the node: memory, disk, ranges
// of settled offsets; and speed, which is told and not judged. Run it as
// `waybill-held-run --waybilld PATH`; exit status 0 only if nothing grew and the message that was
// held could be acknowledged at the end.
#include "net/client/client.hpp"
#include "tests/system/node_process.hpp"
#include "tests/system/process_size.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <thread>

namespace {

using namespace std::chrono_literals;
using waybill::milliseconds;
using clock_type = std::chrono::steady_clock;

constexpr const char* topic = "held-run";
constexpr const char* group = "workers";

struct options {
  std::string waybilld;
  std::string directory;
  std::uint64_t messages = 5'000'000;
  std::uint64_t step = 0; ///< 0: a twentieth
  std::size_t body_bytes = 100;
  std::uint64_t rate_max = 0; ///< messages a second; 0: as fast as they go
  std::uint64_t lag_max = 20'000;
  std::uint64_t lease_ms = 10'000;
  std::uint64_t memory_growth_max = 32 << 20;
  std::uint64_t disk_growth_max = 128 << 20;
  std::uint64_t generation_bytes = 64 << 20;
  std::vector<std::string> node_flags;
  bool json = false;
};

/// What one step cost: the most that was seen in it.
struct row {
  std::uint64_t passed = 0; ///< messages so far
  double seconds = 0;       ///< of this step
  std::uint64_t messages = 0;
  std::uint64_t resident = 0, anonymous = 0, disk = 0, ranges = 0;
};

/// What the threads tell each other.
struct shared {
  std::atomic<std::uint64_t> sent{0}, confirmed{0}, given_up{0};
  std::atomic<std::uint64_t> passed{0}, again{0}, held_came_again{0}, late_acks{0};
  std::atomic<bool> over{false}, failed{false};
};

/// A thread that fails ends the run, and says why.
template <class Work>
std::thread start(shared& all, Work work) {
  return std::thread{[&all, work] {
    try {
      work();
    } catch (const std::exception& e) {
      std::cerr << "waybill-held-run: " << e.what() << std::endl;
      all.failed = all.over = true;
    }
  }};
}

void publish(waybill::client& depot, const options& o, std::uint64_t total, shared& all) {
  auto producer = depot.producer(topic, {.name = "producer", .waiting_messages_max = 4'000});
  const auto begun = clock_type::now();
  for (std::uint64_t number = 0; number < total && !all.over; ++number) {
    while (all.sent - all.passed >= o.lag_max && !all.over)
      std::this_thread::sleep_for(1ms);
    if (o.rate_max > 0 && number % 100 == 0)
      std::this_thread::sleep_until(begun + number * 1'000'000us / o.rate_max);
    std::string body = std::to_string(number) + " ";
    body.resize(std::max(o.body_bytes, body.size()), 'x');
    ++all.sent;
    producer.send_async({.body = std::move(body)},
                        [&all](const auto& got, const waybill::outgoing_message&) {
                          ++(got ? all.confirmed : all.given_up);
                        });
  }
  producer.flush();
}

void consume(waybill::client& depot, std::uint64_t total, const std::string& held, shared& all) {
  auto consumer = depot.subscribe(topic, group, {.name = "worker", .credit_messages = 5'000});
  std::vector<bool> seen(total + 1);
  while (all.passed < total && !all.over) {
    const auto m = consumer.next(200ms);
    if (!m)
      continue;
    if (m->id() == held) {
      ++all.held_came_again;
      consumer.give_back(*m);
      continue;
    }
    consumer.ack(*m);
    if (m->offset().value > total || seen[m->offset().value]) {
      ++all.again;
      continue;
    }
    seen[m->offset().value] = true;
    ++all.passed;
  }
  all.late_acks = consumer.flush();
  consumer.close();
}

std::string mib(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(bytes) / (1 << 20));
  return text;
}

void tell(const row& r, bool json) {
  const auto rate = r.seconds > 0 ? static_cast<double>(r.messages) / r.seconds : 0;
  if (json) {
    std::cout << nlohmann::json{{"passed", r.passed},
                                {"rate", static_cast<std::uint64_t>(rate)},
                                {"resident_bytes", r.resident},
                                {"anonymous_bytes", r.anonymous},
                                {"disk_bytes", r.disk},
                                {"settled_ranges", r.ranges}}
              << std::endl;
    return;
  }
  char text[160];
  std::snprintf(text, sizeof text, "%12llu %10.0f %14s %14s %10s %8llu",
                static_cast<unsigned long long>(r.passed), rate, mib(r.resident).c_str(),
                mib(r.anonymous).c_str(), mib(r.disk).c_str(),
                static_cast<unsigned long long>(r.ranges));
  std::cout << text << std::endl;
}

std::uint64_t settled_ranges(waybill::client& depot) {
  for (const auto& each : depot.list_groups(topic)) {
    if (each.name == group)
      return each.partitions.at(0).settled_ranges;
  }
  throw std::runtime_error{"the group is gone"};
}

/// Looks at the node ten times a second, and closes a row whenever a step is full.
std::vector<row> measure(waybill::client& depot, const options& o, std::uint64_t total, pid_t node,
                         shared& all) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto clear = terminal ? "\r\033[K" : "";
  std::vector<row> rows;
  row now;
  auto begun = clock_type::now();
  while (now.passed < total && !all.over) {
    std::this_thread::sleep_for(100ms);
    const auto memory = waybill::system_test::memory_of(node);
    if (memory.resident == 0 || all.given_up > 0)
      throw std::runtime_error{"the node has ended, or messages were given up on"};
    now.resident = std::max(now.resident, memory.resident);
    now.anonymous = std::max(now.anonymous, memory.anonymous);
    now.disk = std::max(now.disk, waybill::system_test::disk_of(o.directory + "/data"));
    const std::uint64_t passed = all.passed;
    if (passed < total && passed / o.step == now.passed / o.step) {
      if (terminal)
        std::cerr << "\r\033[K" << passed << " of " << total << " messages, "
                  << passed * 100 / total << " %" << std::flush;
      continue;
    }
    const auto ended = clock_type::now();
    now.seconds = std::chrono::duration<double>(ended - begun).count();
    now.messages = passed - now.passed;
    now.passed = passed;
    now.ranges = settled_ranges(depot);
    std::cerr << clear << std::flush;
    tell(now, o.json);
    rows.push_back(now);
    now = {.passed = passed};
    begun = ended;
  }
  return rows;
}

/// The most of the rows in [from, to] messages.
row most(const std::vector<row>& rows, std::uint64_t from, std::uint64_t to) {
  row found;
  for (const auto& r : rows) {
    if (r.passed <= from || r.passed - r.messages >= to)
      continue;
    found.passed = r.passed;
    found.messages += r.messages;
    found.seconds += r.seconds;
    found.resident = std::max(found.resident, r.resident);
    found.anonymous = std::max(found.anonymous, r.anonymous);
    found.disk = std::max(found.disk, r.disk);
    found.ranges = std::max(found.ranges, r.ranges);
  }
  return found;
}

/// Compares the first tenth with the last. What comes before the first tenth fills caches.
bool judge_growth(const std::vector<row>& rows, const options& o) {
  if (rows.size() < 5)
    throw std::runtime_error{
        "that went too fast for figures: ask for more messages, or --rate-max"};
  const auto tenth = std::max(o.messages / 10, o.step);
  const auto warm = rows.back().passed - o.messages;
  const auto first = most(rows, warm, warm + tenth);
  const auto last = most(rows, rows.back().passed - tenth, rows.back().passed);
  const bool memory = last.resident <= first.resident + o.memory_growth_max;
  const bool disk = last.disk <= first.disk + o.disk_growth_max;
  const bool ranges = last.ranges <= first.ranges + 1;
  const auto rate = [](const row& r) {
    return std::to_string(static_cast<std::uint64_t>(static_cast<double>(r.messages) / r.seconds));
  };
  if (o.json)
    std::cout << nlohmann::json{{"first_tenth_resident_bytes", first.resident},
                                {"last_tenth_resident_bytes", last.resident},
                                {"first_tenth_disk_bytes", first.disk},
                                {"last_tenth_disk_bytes", last.disk},
                                {"memory_holds", memory},
                                {"disk_holds", disk},
                                {"ranges_hold", ranges}}
              << std::endl;
  else
    std::cout << "first tenth: " << rate(first) << "/s, " << mib(first.resident) << " MiB memory, "
              << mib(first.disk) << " MiB disk, " << first.ranges
              << " ranges\nlast tenth:  " << rate(last) << "/s, " << mib(last.resident)
              << " MiB memory, " << mib(last.disk) << " MiB disk, " << last.ranges
              << " ranges\nmemory " << (memory ? "stayed" : "GREW")
              << " (bound: " << mib(o.memory_growth_max) << " MiB more), disk "
              << (disk ? "stayed" : "GREW") << " (bound: " << mib(o.disk_growth_max)
              << " MiB more), ranges " << (ranges ? "stayed" : "GREW") << std::endl;
  return memory && disk && ranges;
}

/// The message that was held is still its holder's; then nothing is open, and the books balance.
bool settle_held(waybill::client& depot, waybill::consumer& holder, const waybill::message& held,
                 std::uint64_t total, const shared& all, const options& o) {
  // The generation that it was written to lives on its account alone: it was written again.
  const bool moved = !std::filesystem::exists(o.directory + "/data/journal/000001");
  holder.ack_and_wait(held);
  holder.close();
  const auto books = depot.audit(topic, 0);
  const auto& of = books.groups.at(0);
  const bool balances = books.balances && books.faults.empty() && books.confirmed == total + 1 &&
                        of.acked == total + 1 && of.arrived == total + 1;
  const bool once = held.attempt() == 1 && all.held_came_again == 0 && all.again == 0 &&
                    all.late_acks == 0 && settled_ranges(depot) == 0;
  if (o.json)
    std::cout << nlohmann::json{{"held_acknowledged", true},
                                {"generation_emptied", moved},
                                {"confirmed", books.confirmed},
                                {"acked", of.acked},
                                {"live", books.live},
                                {"dropped", books.dropped},
                                {"delivered_again", all.again.load()},
                                {"late_acks", all.late_acks.load()},
                                {"balances", balances}}
              << std::endl;
  else
    std::cout << "the generation of the message that was held was emptied: "
              << (moved ? "yes" : "NO") << "; it was acknowledged at its first attempt: "
              << (held.attempt() == 1 && all.held_came_again == 0 ? "yes" : "NO") << "; "
              << books.confirmed << " confirmed, " << of.acked << " acknowledged, " << books.live
              << " live, " << books.dropped << " dropped, " << all.again << " delivered again, "
              << all.late_acks << " acknowledged too late; the books "
              << (balances ? "balance" : "DO NOT BALANCE") << std::endl;
  return balances && once && moved;
}

bool run(options& o) {
  o.node_flags.push_back("--storage.generation-bytes=" + std::to_string(o.generation_bytes));
  const auto port = waybill::system_test::free_port();
  waybill::system_test::node_process node{o.waybilld, o.directory, port, o.node_flags};
  node.start();
  waybill::client depot{"127.0.0.1:" + std::to_string(port),
                        {.call_timeout = 60s, .log = [](const std::string&) {}}};
  depot.create_topic(topic, 1);
  waybill::policy_change policy;
  policy.lease = milliseconds{o.lease_ms};
  depot.set_group(topic, group, policy);
  auto holder = depot.subscribe(topic, group, {.name = "holder", .credit_messages = 1});
  depot.producer(topic).send("held");
  const auto held = holder.next(10s);
  if (!held)
    throw std::runtime_error{"the message to hold did not come"};
  if (!o.json)
    std::cout << "one message held, " << o.messages << " pass, after " << o.messages / 10
              << " that fill the caches\n"
              << "      passed     rate/s   resident MiB  anonymous MiB   disk MiB   ranges\n";
  const auto total = o.messages + o.messages / 10;
  shared all;
  auto producing = start(all, [&] { publish(depot, o, total, all); });
  auto consuming = start(all, [&] { consume(depot, total, held->id(), all); });
  auto holding = start(all, [&] {
    for (auto extended = clock_type::now(); !all.over; std::this_thread::sleep_for(50ms)) {
      if (clock_type::now() - extended < milliseconds{o.lease_ms / 4})
        continue;
      holder.extend(*held);
      extended = clock_type::now();
    }
  });
  std::vector<row> rows;
  std::exception_ptr failed;
  try {
    rows = measure(depot, o, total, node.pid(), all);
    consuming.join();
  } catch (...) {
    failed = std::current_exception();
  }
  all.over = true;
  for (auto* each : {&producing, &consuming, &holding})
    if (each->joinable())
      each->join();
  if (failed)
    std::rethrow_exception(failed);
  if (all.failed)
    return false;
  const bool stayed = judge_growth(rows, o);
  const bool settled = settle_held(depot, holder, *held, total, all, o);
  const auto status = node.end(SIGTERM);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error{"the node did not end cleanly on SIGTERM"};
  return stayed && settled;
}

void add_options(CLI::App& app, options& o) {
  app.add_option("--waybilld", o.waybilld, "The node's program")->required();
  app.add_option("--messages", o.messages, "How many pass while one is held")
      ->capture_default_str();
  app.add_option("--step", o.step, "Messages of one line of figures (default: a twentieth)");
  app.add_option("--body-bytes", o.body_bytes, "Of each message")->capture_default_str();
  app.add_option("--rate-max", o.rate_max, "Messages a second (default: as fast as they go)");
  app.add_option("--lag-max", o.lag_max, "How far the consumer may lag")->capture_default_str();
  app.add_option("--lease", o.lease_ms, "The group's lease, in milliseconds")
      ->capture_default_str();
  app.add_option("--memory-growth-max", o.memory_growth_max,
                 "By how much resident memory may grow, such as 32MiB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("32MiB");
  app.add_option("--disk-growth-max", o.disk_growth_max,
                 "By how much the data directory may grow, such as 128MiB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("128MiB");
  app.add_option("--generation-bytes", o.generation_bytes,
                 "The node's storage.generation-bytes: small enough for many to pass")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64MiB");
  app.add_option("--node-flag", o.node_flags,
                 "A flag for the node, such as --node-flag=--storage.tail-bytes-max=1MiB");
  app.add_flag("--json", o.json, "A JSON object per line");
  app.footer("Exit status: 0 nothing grew beyond its bound, and the held message was acknowledged; "
             "1 otherwise.\nExample: waybill-held-run --waybilld build/release/apps/waybilld/"
             "waybilld --messages 1000000 --generation-bytes 16MiB");
}

} // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"Holds one message while millions pass, and measures what that costs the node"};
  add_options(app, o);
  CLI11_PARSE(app, argc, argv);
  if (o.step == 0)
    o.step = std::max<std::uint64_t>(o.messages / 20, 1);
  const auto made = std::filesystem::temp_directory_path() / "waybill-held-run-XXXXXX";
  o.directory = made.string();
  if (!::mkdtemp(o.directory.data()))
    return 1;
  bool good = false;
  try {
    good = run(o);
  } catch (const std::exception& e) {
    std::cerr << "waybill-held-run: " << e.what() << '\n';
  }
  if (good)
    std::filesystem::remove_all(o.directory);
  else
    std::cerr << "waybill-held-run: what the node left is in " << o.directory << '\n';
  return good ? 0 : 1;
}
