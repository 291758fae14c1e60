// No answer before the disk: for each receipt that a client has, each ack that was answered and
// each opening of a producer, a sync of the journal came before that made the whole entry durable.
// The fault Env's trace shows it; a kill cannot, for the page cache survives one.
#include "net/client/client.hpp"
#include "storage/records_codec.hpp"
#include "storage/store.hpp"
#include "tests/node/hosted_node.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace waybill;
using namespace waybill::test;

namespace {

constexpr std::size_t producers = 3;
constexpr std::size_t messages_each = 150;
constexpr std::uint32_t partitions = 2;
constexpr std::size_t total = producers * messages_each;

/// What a client was told, and the trace's number at the moment at which it had it.
struct told {
  std::uint64_t at = 0;
  receipt what;
};
struct ack_told {
  std::uint64_t at = 0;
  std::uint32_t partition = 0;
  message_offset offset;
};
struct opening_told {
  std::uint64_t at = 0;
  std::string producer;
};
struct answers {
  std::mutex guard;
  std::vector<told> receipts;
  std::vector<ack_told> acks;
  std::vector<opening_told> openings;
  std::uint64_t topic = 0;
};

void produce(fault_env& env, const std::string& server, std::size_t who, answers& all) {
  client depot{server, {.name = "producer"}};
  const auto name = "producer-" + std::to_string(who);
  producer_options options{.name = name};
  options.batch_messages_max = 5;
  auto sender = depot.producer("orders", options);
  {
    const std::lock_guard lock{all.guard};
    all.openings.push_back({env.mark("opened " + name), name});
  }
  for (std::size_t i = 0; i < messages_each; ++i)
    sender.send_async({.body = name + " " + std::to_string(i)},
                      [&](const result<receipt>& got, const auto&) {
                        const std::lock_guard lock{all.guard};
                        if (got)
                          all.receipts.push_back({env.mark("receipt"), *got});
                      });
  sender.flush();
}

void consume(fault_env& env, const std::string& server, answers& all) {
  client depot{server, {.name = "consumer"}};
  auto from = depot.subscribe("orders", "billing");
  for (std::size_t i = 0; i < total; ++i) {
    const auto m = from.next(milliseconds{20'000});
    if (!m)
      return;
    from.ack_and_wait(*m);
    const std::lock_guard lock{all.guard};
    all.acks.push_back({env.mark("ack"), m->partition(), m->offset()});
  }
}

/// Runs producers and a consumer, and writes down all that they were told.
void run_clients(fault_env& env, answers& all) {
  hosted_node node{{.env = &env}};
  node.start();
  {
    client admin{node.server()};
    admin.create_topic("orders", partitions);
    admin.set_group("orders", "billing", {});
    all.topic = admin.describe_topic("orders").id;
  }
  std::vector<std::jthread> threads;
  for (std::size_t who = 0; who < producers; ++who)
    threads.emplace_back([&, who] { produce(env, node.server(), who, all); });
  threads.emplace_back([&] { consume(env, node.server(), all); });
}

/// The log as it is in the store afterwards, and which entry answers for what.
struct read_log {
  std::map<std::pair<std::uint32_t, log_index>, std::string> entries; ///< as they are on the disk
  std::map<std::pair<std::uint32_t, message_offset>, log_index> acks;
  std::map<std::string, std::vector<std::pair<std::uint32_t, log_index>>> openings;
};

void take(const entry& e, read_log& into) {
  const auto number = e.partition.number;
  std::string bytes;
  encode_entry(e, bytes);
  into.entries.emplace(std::pair{number, e.index}, bytes);
  if (e.kind == entry_kind::producer) {
    const auto record = decode_producer_record(e.body.view());
    into.openings[record->producer].emplace_back(number, e.index);
  }
  if (e.kind == entry_kind::delivery) {
    const auto record = decode_delivery_record(e.body.view());
    for (const auto& changes : record->groups)
      for (const auto& range : changes.acked)
        for (auto at = range.first; at < range.end; ++at.value)
          into.acks.emplace(std::pair{number, at}, e.index);
  }
}

read_log read_all(fault_env& env, std::uint64_t topic) {
  store_options options;
  options.directory = "/data/node";
  options.env = &env;
  const auto opened = store::open(options);
  if (!opened)
    throw std::runtime_error{opened.error().detail};
  read_log log;
  for (std::uint32_t number = 0; number < partitions; ++number)
    for (log_index next{1};;) {
      const auto piece = (*opened)->read({topic_id{topic}, number}, next, 1u << 20);
      if (!piece)
        throw std::runtime_error{piece.error().detail};
      if (piece->empty())
        break;
      for (const auto& e : *piece)
        take(e, log);
      next.value = piece->back().index.value + 1;
    }
  return log;
}

/// How many answers came before the disk had what they answer for.
std::size_t count_early(const fault_env& env, const answers& all, const read_log& log) {
  std::size_t early = 0;
  std::map<std::pair<std::uint32_t, log_index>, std::optional<std::uint64_t>> durable;
  const auto check = [&](std::uint64_t at, std::pair<std::uint32_t, log_index> which) {
    const auto stored = log.entries.find(which);
    if (stored == log.entries.end())
      return void(++early);
    auto known = durable.find(which);
    if (known == durable.end())
      known = durable.emplace(which, env.first_durable(stored->second)).first;
    if (!known->second || *known->second >= at)
      ++early;
  };
  for (const auto& each : all.receipts)
    check(each.at, {each.what.partition, each.what.entry.index});
  for (const auto& each : all.acks) {
    const auto found = log.acks.find({each.partition, each.offset});
    check(each.at, {each.partition, found == log.acks.end() ? log_index{} : found->second});
  }
  for (const auto& each : all.openings)
    for (const auto& where : log.openings.at(each.producer))
      check(each.at, where);
  return early;
}

} // namespace

TEST_CASE("every answer comes after a sync that made its entry durable") {
  fault_env env{{.events_max = 10'000'000, .keep_log_contents = true}};
  answers all;
  run_clients(env, all);
  REQUIRE(all.receipts.size() == total);
  REQUIRE(all.acks.size() == total);
  REQUIRE(all.openings.size() == producers);
  const auto log = read_all(env, all.topic);
  for (const auto& [name, where] : log.openings)
    CHECK(where.size() == partitions);
  CHECK(count_early(env, all, log) == 0);
}

TEST_CASE("the comparison finds a store that answers before the sync") {
  fault_env env{{.events_max = 10'000'000, .keep_log_contents = true}};
  // From the first message on, syncs of the journal say that they are done and do nothing.
  env.add({.where = {.kind = file_kind::log, .pattern = "*/journal/*"},
           .on = operation::sync,
           .what = effect::lie,
           .after = 10});
  answers all;
  run_clients(env, all);
  REQUIRE(env.counters().syncs_lied > 0);
  const auto early = count_early(env, all, read_all(env, all.topic));
  CHECK(early > total / 2);
  CHECK(early <= 2 * total + producers * partitions);
}
