// Producers and consumers at work while their node is killed with SIGKILL at random moments, again
// and again. At the end: every confirmed message was consumed, nothing was published twice, the
// books balance. Run it as `waybill-kill-run --waybilld PATH`; exit status 0 only if all of that is
// true.
#include "net/client/client.hpp"
#include "tests/system/node_process.hpp"

#include <CLI/CLI.hpp>

#include <atomic>
#include <filesystem>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace {

using namespace std::chrono_literals;
using waybill::milliseconds;
using waybill::system_test::free_port;
using waybill::system_test::node_process;

struct options {
  std::string waybilld;
  std::string directory;
  int kills = 20;
  int producers = 4;
  int consumers = 2;
  std::uint32_t partitions = 4;
  std::uint64_t seed = std::random_device{}();
  milliseconds between_min{200}, between_max{1'500};
};

/// What everybody saw; a message is its body: producer and number.
struct ledger {
  std::mutex guard;
  std::map<std::string, std::string> confirmed;        ///< id → body
  std::map<std::string, std::string> consumed;         ///< id → body
  std::map<std::string, std::set<std::string>> ids_of; ///< body → ids, of all that was consumed
  std::set<std::string> acked;                         ///< ids whose acknowledgement was answered
  std::uint64_t given_up = 0, deliveries = 0, after_ack = 0;
};

void produce(waybill::client& depot, int number, const std::atomic<bool>& over, ledger& books) {
  auto producer = depot.producer(
      "kill-run", {.name = "producer-" + std::to_string(number),
                   .retry = {.retries = 100, .interval = 100ms, .delivery_timeout = 60s},
                   .waiting_messages_max = 500});
  for (std::uint64_t sequence = 0; !over; ++sequence) {
    waybill::outgoing_message m;
    m.body = std::to_string(number) + " " + std::to_string(sequence);
    m.key = sequence % 3 == 0 ? "key-" + std::to_string(sequence % 50) : "";
    producer.send_async(std::move(m), [&books](waybill::result<waybill::receipt> got,
                                               waybill::outgoing_message sent) {
      const std::lock_guard lock{books.guard};
      if (got)
        books.confirmed[waybill::message_id(got->topic, got->partition, got->offset)] = sent.body;
      else
        ++books.given_up;
    });
    if (sequence % 100 == 0)
      std::this_thread::sleep_for(1ms); // the point is the kills, not the load
  }
  producer.flush();
}

void consume(waybill::client& depot, const std::atomic<bool>& over, ledger& books) {
  auto consumer = depot.subscribe("kill-run", "workers", {.credit_messages = 200});
  auto quiet_since = std::chrono::steady_clock::now();
  std::uint64_t count = 0;
  while (!over || std::chrono::steady_clock::now() - quiet_since < 4s) {
    const auto m = consumer.next(200ms);
    if (!m)
      continue;
    quiet_since = std::chrono::steady_clock::now();
    {
      const std::lock_guard lock{books.guard};
      books.consumed[m->id()] = m->body();
      books.ids_of[m->body()].insert(m->id());
      ++books.deliveries;
      if (books.acked.contains(m->id()))
        ++books.after_ack;
    }
    if (++count % 50 != 0) {
      consumer.ack(*m);
      continue;
    }
    try {
      consumer.ack_and_wait(*m);
      const std::lock_guard lock{books.guard};
      books.acked.insert(m->id());
    } catch (const waybill::client_error&) {
      // It goes to somebody else, or comes again.
    }
  }
  consumer.flush();
  consumer.close();
}

std::uint64_t audit(waybill::client& depot, std::uint32_t partitions, bool& balances) {
  std::uint64_t confirmed = 0;
  for (std::uint32_t number = 0; number < partitions; ++number) {
    const auto books = depot.audit("kill-run", number);
    confirmed += books.confirmed;
    balances = balances && books.balances;
    for (const auto& fault : books.faults)
      std::cout << "  fault: " << fault << '\n';
    for (const auto& group : books.groups)
      if (group.acked + group.dead + group.for_others != group.arrived)
        std::cout << "  partition " << number << ": " << group.arrived << " arrived, "
                  << group.acked << " acknowledged, " << group.ready << " ready, " << group.leased
                  << " leased, " << group.delayed << " delayed, " << group.dead << " dead\n";
  }
  return confirmed;
}

bool judge(const ledger& books, waybill::client& depot, std::uint32_t partitions) {
  std::uint64_t missing = 0, twice = 0, different = 0;
  for (const auto& [id, body] : books.confirmed) {
    const auto found = books.consumed.find(id);
    missing += found == books.consumed.end();
    different += found != books.consumed.end() && found->second != body;
  }
  for (const auto& [body, ids] : books.ids_of)
    twice += ids.size() > 1;
  bool balances = true;
  const auto in_books = audit(depot, partitions, balances);
  std::cout << "  " << books.confirmed.size() << " confirmed, " << books.given_up
            << " given up on, " << in_books << " in the broker's books, " << books.consumed.size()
            << " consumed in " << books.deliveries
            << " deliveries\n  confirmed and not consumed: " << missing
            << "; consumed with another body: " << different << "; published twice: " << twice
            << "; delivered after an answered acknowledgement: " << books.after_ack
            << "; the books " << (balances ? "balance" : "DO NOT BALANCE") << std::endl;
  return missing == 0 && twice == 0 && different == 0 && books.after_ack == 0 && balances &&
         !books.confirmed.empty();
}

bool run(const options& o) {
  std::cout << "kill run: " << o.kills << " kills, " << o.producers << " producers, " << o.consumers
            << " consumers, seed " << o.seed << std::endl;
  std::mt19937_64 random{o.seed};
  const auto port = free_port();
  node_process node{o.waybilld, o.directory, port};
  node.start();
  waybill::client depot{"127.0.0.1:" + std::to_string(port),
                        {.call_timeout = 60s, .log = [](const std::string&) {}}};
  depot.create_topic("kill-run", o.partitions);
  ledger books;
  std::atomic<bool> producers_over{false}, consumers_over{false};
  std::vector<std::thread> producers, consumers;
  for (int i = 0; i < o.producers; ++i)
    producers.emplace_back([&, i] { produce(depot, i, producers_over, books); });
  for (int i = 0; i < o.consumers; ++i)
    consumers.emplace_back([&] { consume(depot, consumers_over, books); });
  std::uniform_int_distribution<std::int64_t> pause{o.between_min.count(), o.between_max.count()};
  for (int kill = 0; kill < o.kills; ++kill) {
    std::this_thread::sleep_for(milliseconds{pause(random)});
    node.end(SIGKILL);
    node.start();
  }
  std::this_thread::sleep_for(1s);
  producers_over = true;
  for (auto& each : producers)
    each.join();
  consumers_over = true;
  for (auto& each : consumers)
    each.join();
  const bool good = judge(books, depot, o.partitions);
  const auto status = node.end(SIGTERM);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    std::cout << "  the node did not end cleanly on SIGTERM\n";
  return good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"Kills a node under load, and checks that nothing confirmed is lost"};
  app.add_option("--waybilld", o.waybilld, "the node's program")->required();
  app.add_option("--kills", o.kills);
  app.add_option("--producers", o.producers);
  app.add_option("--consumers", o.consumers);
  app.add_option("--partitions", o.partitions);
  app.add_option("--seed", o.seed);
  CLI11_PARSE(app, argc, argv);
  char made[] = "/tmp/waybill-kill-run-XXXXXX";
  if (!::mkdtemp(made))
    return 1;
  o.directory = made;
  bool good = false;
  try {
    good = run(o);
  } catch (const std::exception& e) {
    std::cout << "  failed: " << e.what() << '\n';
  }
  if (good)
    std::filesystem::remove_all(o.directory);
  else
    std::cout << "  what the node left is in " << o.directory << '\n';
  return good ? 0 : 1;
}
