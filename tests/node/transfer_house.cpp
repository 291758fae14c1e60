// See transfer_house.hpp.
#include "tests/node/transfer_house.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>

namespace waybill::test {

namespace {

using namespace std::chrono_literals;

constexpr milliseconds patience{20'000};

std::vector<std::string> with_defaults(std::vector<std::string> flags) {
  flags.emplace_back("--delivery.attempts-max=1");
  flags.emplace_back("--supervision.restarts-max=1000");
  return flags;
}

std::string record_key(const partition_id& p) {
  return "coordinator/partitions/" + std::to_string(p.topic.value) + "/" + std::to_string(p.number);
}

} // namespace

transfer_house::transfer_house(std::vector<std::string> flags)
    : node{{.env = &env, .flags = with_defaults(std::move(flags))}} {}

transfer_house::~transfer_house() {
  admin_.reset();
  node.end(); // who still calls finds nobody
}

void transfer_house::start() {
  node.start();
  if (caller_.joinable())
    caller_.join();
  admin_.emplace(node.server(), quiet());
}

void transfer_house::begin(std::uint32_t partitions) {
  start();
  admin().create_topic("orders", partitions);
  admin().create_topic("bills", 2);
  admin().set_group("orders", "billing", {});
  admin().set_group("bills", "looker", {});
  source = {topic_id{admin().describe_topic("orders").id}, 0};
  target = {topic_id{admin().describe_topic("bills").id}, 1};
}

void transfer_house::bury(std::size_t many) {
  auto to = admin().producer("orders");
  for (std::size_t i = 0; i < many; ++i)
    to.send_async({.key = "order-" + std::to_string(i), .body = "body " + std::to_string(i)});
  to.flush();
  auto from = admin().subscribe("orders", "billing");
  for (std::size_t i = 0; i < many; ++i) {
    const auto m = from.next(patience);
    REQUIRE(m);
    from.nack(*m, "declined");
  }
  from.flush();
  from.close();
  const auto partitions = admin().describe_topic("orders").partitions.size();
  REQUIRE(comes_true(patience, [&] {
    std::size_t dead = 0;
    for (std::uint32_t p = 0; p < partitions; ++p)
      dead += letters(p).size();
    return dead == many;
  }));
}

std::vector<dead_letter_info> transfer_house::letters(std::uint32_t partition) {
  std::vector<dead_letter_info> all;
  admin().list_dead_letters("orders", "billing", partition, {}, false,
                            [&](const dead_letter_info& each) {
                              all.push_back(each);
                              return true;
                            });
  return all;
}

std::vector<message_offset> transfer_house::offsets(std::uint32_t partition) {
  std::vector<message_offset> all;
  for (const auto& each : letters(partition))
    all.push_back(each.offset);
  return all;
}

std::size_t transfer_house::count(const std::string& transfer, std::uint32_t partition) {
  const auto all = letters(partition);
  return static_cast<std::size_t>(std::ranges::count(all, transfer, &dead_letter_info::transfer));
}

void transfer_house::transfer_all(const std::string& to, std::optional<std::uint32_t> partition) {
  REQUIRE(comes_true(patience, [&] {
    const auto left = offsets();
    if (!left.empty())
      admin().transfer_dead_letters("orders", "billing", 0, left, to, partition);
    return left.empty();
  }));
}

std::vector<std::string> transfer_house::arrived(const std::string& topic) {
  std::uint64_t there = 0;
  for (const auto& each : admin().describe_topic(topic).partitions)
    there += each.next_offset.value;
  std::vector<std::string> ids;
  auto from = admin().subscribe(topic, "looker");
  for (std::uint64_t i = 0; i < there; ++i) {
    const auto m = from.next(patience);
    REQUIRE(m);
    for (const auto& [name, value] : m->headers())
      if (name == "waybill-redriven-from")
        ids.push_back(value);
    from.ack(*m);
  }
  from.flush();
  from.close();
  std::ranges::sort(ids);
  return ids;
}

void transfer_house::expect_books(const std::string& topic) {
  for (const auto& each : admin().describe_topic(topic).partitions) {
    const auto books = admin().audit(topic, each.number);
    CHECK(books.balances);
    for (const auto& fault : books.faults)
      FAIL_CHECK(fault);
  }
}

void transfer_house::expect_all_once(const std::string& topic, std::size_t many) {
  expect_books("orders");
  expect_books(topic);
  const auto ids = arrived(topic);
  CHECK(ids.size() == many);
  CHECK(std::ranges::adjacent_find(ids) == ids.end());
  std::uint64_t redriven = 0, dead = 0;
  for (const auto& each : admin().describe_topic("orders").partitions) {
    const auto books = admin().audit("orders", each.number);
    for (const auto& group : books.groups)
      if (group.group == "billing") {
        redriven += group.redriven;
        dead += group.dead;
      }
  }
  CHECK(redriven == many);
  CHECK(dead == 0);
}

bool transfer_house::cut_during_transfer(std::uint64_t operations, std::uint64_t seed,
                                         milliseconds call_timeout) {
  const auto chosen = offsets();
  const auto ended = std::make_shared<std::atomic<bool>>(false); // the caller may outlive this call
  env.cut_power_after(operations, {.seed = seed, .mode = tail::torn});
  caller_ = std::jthread{[ended, chosen, call_timeout, server = node.server()] {
    try {
      auto options = quiet();
      options.call_timeout = call_timeout;
      client depot{server, options};
      depot.transfer_dead_letters("orders", "billing", 0, chosen, "bills", 1);
    } catch (const client_error&) {
      // its node has gone; who looks afterwards sees what became of it
    }
    *ended = true;
  }};
  REQUIRE(comes_true(patience, [&] { return *ended || env.is_off(); }));
  env.cancel_cut();
  if (!env.is_off()) {
    caller_.join();
    return false;
  }
  REQUIRE(node.await_failure(patience));
  admin_.reset();
  node.cut_power(seed);
  return true;
}

std::unique_ptr<transfer_house> cut_at(progress_seen wanted, std::size_t letters,
                                       const std::vector<std::string>& flags) {
  // Nobody answers the call of a node that is not started again.
  constexpr milliseconds call_timeout{500};
  for (std::uint64_t operations = 3; operations < 60; ++operations) {
    auto house = std::make_unique<transfer_house>(flags);
    house->begin();
    house->bury(letters);
    if (house->cut_during_transfer(operations, operations, call_timeout) &&
        house->progress() == wanted)
      return house;
  }
  FAIL("no power cut leaves a transfer like that");
  return nullptr;
}

std::unique_ptr<store> transfer_house::open_store() {
  store_options options;
  options.directory = "/data/node";
  options.env = &env;
  auto opened = store::open(options);
  REQUIRE(opened);
  return *std::move(opened);
}

std::vector<entry> transfer_house::log_of(const store& from, const partition_id& partition) {
  std::vector<entry> all;
  for (;;) {
    const log_index next{all.empty() ? 1 : all.back().index.value + 1};
    auto piece = from.read(partition, next, 1u << 20);
    REQUIRE(piece);
    if (piece->empty())
      return all;
    all.insert(all.end(), piece->begin(), piece->end());
  }
}

progress_seen transfer_house::progress() {
  const auto opened = open_store();
  auto seen = progress_seen::nothing;
  for (const auto& e : log_of(*opened, source)) {
    if (e.kind != entry_kind::transfer)
      continue;
    const auto record = decode_transfer_record(e.body.view());
    REQUIRE(record);
    seen = record->action == transfer_action::done ? progress_seen::done : progress_seen::begun;
  }
  if (seen == progress_seen::begun)
    for (const auto& e : log_of(*opened, target))
      if (e.kind == entry_kind::messages)
        return progress_seen::arrived;
  return seen;
}

void transfer_house::let_target_forget() {
  const auto opened = open_store();
  const auto last = log_of(*opened, target).back();
  entry e;
  e.partition = target;
  e.index = log_index{last.index.value + 1};
  e.written = last.written;
  e.kind = entry_kind::producer;
  e.first_offset = offsets_of(last).end;
  e.stamped = last.stamped;
  e.previous = last.hash;
  e.body = shared_bytes{encode(producer_record{"somebody", producer_epoch{e.index.value}, 7})};
  e.hash = chain_hash(e);
  REQUIRE(opened->write({{e}, {}, {}}));
}

void transfer_house::set_out_of_service(bool whether) {
  const auto opened = open_store();
  const auto found = opened->record(record_key(target));
  REQUIRE((found && *found));
  auto text = **found;
  const std::string good = "\"index\":", bad = "\"index\":99999";
  const auto from = whether ? good : bad;
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), whether ? bad : good);
  REQUIRE(opened->write({{}, {{record_key(target), text}}, {}}));
}

} // namespace waybill::test
