// Redrives to another topic or partition on a whole node: where they go, who may touch what is
// under way, and what becomes of them when the power fails, leaders die, the target is away, is
// deleted, or has forgotten.
#include "tests/node/transfer_house.hpp"

#include "actors/context.hpp"
#include "actors/rules/transfers.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <random>
#include <set>

using namespace waybill;
using namespace waybill::test;
using namespace std::chrono_literals;

namespace {

constexpr milliseconds patience{20'000};
const std::vector<std::string> remembers_one{"--producers.producers-max=1"};

/// What a call answers that leaves everything as it is.
std::vector<ec> codes_of(const std::vector<letter_left>& left) {
  std::vector<ec> codes;
  for (const auto& each : left)
    codes.push_back(each.why.code);
  return codes;
}

void kill_leader(caf::actor_system& system, const std::string& topic, std::uint32_t number) {
  const auto supervisor = find_role<partition_supervisor_actor>(system, role::partition_supervisor);
  caf::scoped_actor asker{system};
  asker->request(supervisor, patience, atom::resolve_v, topic)
      .receive(
          [&](const topic_ptr& found) {
            if (const auto& leader = found->partitions.at(number).leader)
              caf::anon_send_exit(caf::actor_cast<caf::actor>(leader), caf::exit_reason::kill);
          },
          [](const caf::error&) {});
}

} // namespace

TEST_CASE("dead letters go to another topic, by their keys, with where they came from") {
  transfer_house house;
  house.begin();
  house.bury(6);
  const auto chosen = house.offsets();
  const auto done = house.admin().transfer_dead_letters("orders", "billing", 0, chosen, "bills");
  CHECK(done.left.empty());
  REQUIRE(done.moved.size() == 6);
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> from;
  for (const auto& each : done.moved)
    from[{each.to_partition, each.to.value}] = each.from.value;
  REQUIRE(from.size() == 6);
  auto reader = house.admin().subscribe("bills", "readers");
  for (int i = 0; i < 6; ++i) {
    const auto m = reader.next(patience);
    REQUIRE(m);
    const auto was = from.at({m->partition(), m->offset().value});
    CHECK(m->key() == "order-" + std::to_string(was));
    CHECK(m->body() == "body " + std::to_string(was));
    CHECK(m->partition() == partition_of_key(m->key(), 2));
    const auto id = message_id("orders", 0, message_offset{was});
    const headers wanted{
        {"waybill-original-id", id}, {"waybill-redrives", "1"}, {"waybill-redriven-from", id}};
    CHECK(m->headers() == wanted);
    reader.ack_and_wait(*m);
  }
  reader.close();
  house.expect_all_once("bills", 6);
}

TEST_CASE("dead letters go to another partition of their topic, and to their own, for all groups") {
  transfer_house house;
  house.begin(2);
  house.bury(8);
  house.admin().set_group("orders", "others", {});
  for (const std::uint32_t to : {0u, 1u}) {
    const auto chosen = house.offsets(0);
    if (chosen.empty())
      continue;
    const auto done = house.admin().transfer_dead_letters("orders", "billing", 0,
                                                          {chosen.data(), 1}, "orders", to);
    REQUIRE(done.moved.size() == 1);
    CHECK(done.moved[0].to_partition == to);
    for (const auto& group : {"billing", "others"}) {
      auto reader = house.admin().subscribe("orders", group);
      for (;;) {
        const auto m = reader.next(patience);
        REQUIRE(m);
        reader.ack_and_wait(*m);
        if (m->partition() == to && m->offset() == done.moved[0].to)
          break;
      }
      reader.close();
    }
  }
  house.expect_books("orders");
}

TEST_CASE("what cannot be redriven there is left, with the reason") {
  transfer_house house;
  house.begin();
  house.bury(2);
  const auto chosen = house.offsets();
  const auto refused = [&](const std::string& topic, std::optional<std::uint32_t> partition) {
    try {
      house.admin().transfer_dead_letters("orders", "billing", 0, chosen, topic, partition);
    } catch (const client_error& e) {
      return e.code();
    }
    return ec::none;
  };
  CHECK(refused("nosuch", {}) == ec::unknown_topic);
  CHECK(refused("bills", 2) == ec::unknown_partition);
  CHECK(house.letters().size() == 2);
  const std::vector<message_offset> strangers{message_offset{77}};
  const auto nothing =
      house.admin().transfer_dead_letters("orders", "billing", 0, strangers, "bills");
  CHECK(nothing.moved.empty());
  CHECK(nothing.left.empty());
  house.transfer_all("bills", 1);
  house.expect_all_once("bills", 2);
}

TEST_CASE("no client may send under the name of a redrive") {
  transfer_house house;
  house.begin();
  producer_options named;
  named.name = transfer_producer(house.source);
  try {
    auto sender = house.admin().producer("bills", named);
    sender.send({.body = "mine"});
    FAIL("it was taken");
  } catch (const client_error& e) {
    CHECK(e.code() == ec::not_allowed);
  }
}

TEST_CASE("a power cut at any step of a redrive loses no dead letter and doubles none") {
  constexpr std::size_t many = 5;
  std::map<progress_seen, int> seen;
  int cuts = 0;
  bool was_cut = true;
  for (std::uint64_t operations = 0; was_cut; ++operations) {
    REQUIRE(operations < 200);
    was_cut = false;
    for (std::uint64_t seed = 0; seed < 3; ++seed) { // the operation itself is done, or not
      INFO("the power fails after " << operations << " operations, seed " << seed);
      transfer_house house;
      house.begin();
      house.bury(many);
      if (house.cut_during_transfer(operations, seed, patience)) {
        was_cut = true;
        ++cuts;
        ++seen[house.progress()];
        house.start();
        CHECK(comes_true(patience, [&] { return house.count("under-way") == 0; }));
        CHECK(house.count("in-doubt") == 0);
        house.expect_books("orders");
      }
      house.transfer_all("bills", 1);
      house.expect_all_once("bills", many);
    }
  }
  std::printf("%d power cuts: %d before it began, %d begun and not sent, %d arrived and not noted, "
              "%d noted\n",
              cuts, seen[progress_seen::nothing], seen[progress_seen::begun],
              seen[progress_seen::arrived], seen[progress_seen::done]);
  for (const auto each :
       {progress_seen::nothing, progress_seen::begun, progress_seen::arrived, progress_seen::done})
    CHECK(seen[each] > 0);
}

TEST_CASE("leaders that die again and again lose no dead letter and double none") {
  constexpr std::size_t many = 300;
  const auto seed = drawn_seed();
  std::mt19937_64 random{seed};
  transfer_house house{{"--net.batch-messages-max=2", "--partitions.checkpoint-interval=100ms"}};
  house.begin();
  house.bury(many);
  std::atomic<bool> ended = false;
  std::jthread works{[&] {
    client_options impatient; // who is killed answers nothing
    impatient.call_timeout = 300ms;
    impatient.log = [](const std::string&) {};
    client depot{house.node.server(), impatient};
    while (!ended) {
      std::vector<message_offset> left;
      try {
        depot.list_dead_letters("orders", "billing", 0, {}, false, [&](const auto& each) {
          left.push_back(each.offset);
          return true;
        });
        if (!left.empty())
          depot.transfer_dead_letters("orders", "billing", 0, left, "bills", 1);
        else
          ended = true;
      } catch (const client_error&) {
        // asked again
      }
    }
  }};
  int kills = 0;
  for (; kills < 40 && !ended; ++kills) {
    const auto from = house.env.counters().operations;
    const auto more = random() % 24;
    (void)comes_true(200ms, [&] { return ended || house.env.counters().operations > from + more; });
    if (random() % 2 == 0)
      kill_leader(house.node.system(), "orders", 0);
    else
      kill_leader(house.node.system(), "bills", 1);
  }
  CHECK(comes_true(2 * patience, [&] { return ended.load(); }));
  ended = true;
  works.join();
  std::printf("%d leaders killed\n", kills);
  CHECK(house.count("in-doubt") == 0);
  house.expect_all_once("bills", many);
}

TEST_CASE("redrives of the same dead letters at the same time move each once") {
  constexpr std::size_t many = 40;
  transfer_house house{{"--net.batch-messages-max=4"}};
  house.begin();
  house.bury(many);
  const auto chosen = house.offsets();
  {
    std::vector<std::jthread> callers;
    for (std::uint32_t who = 0; who < 6; ++who)
      callers.emplace_back([&house, &chosen, who] {
        client depot{house.node.server()};
        const std::span<const message_offset> all{chosen};
        const auto part = all.subspan(who * 5);
        depot.transfer_dead_letters("orders", "billing", 0, part, "bills",
                                    who % 3 == 0 ? std::nullopt : std::optional{who % 2});
      });
  }
  house.transfer_all("bills", 0);
  house.expect_all_once("bills", many);
}

TEST_CASE("while the target is away its dead letters are kept and untouched, and then go on") {
  const auto before = GENERATE(progress_seen::begun, progress_seen::arrived);
  const auto house = cut_at(before, 3);
  house->set_out_of_service(true);
  house->start();
  CHECK(house->count("under-way") == 3);
  const auto chosen = house->offsets();
  const std::vector<ec> all_under_way(3, ec::under_way);
  auto& admin = house->admin();
  CHECK(codes_of(admin.purge_dead_letters("orders", "billing", 0, chosen).left) == all_under_way);
  CHECK(codes_of(admin.redrive_dead_letters("orders", "billing", 0, chosen).left) == all_under_way);
  CHECK(codes_of(admin.transfer_dead_letters("orders", "billing", 0, chosen, "bills", 0).left) ==
        all_under_way);
  CHECK(house->letters().at(0).transfer_to == "bills/1");
  house->expect_books("orders");
  house->node.end();
  house->set_out_of_service(false);
  house->start();
  CHECK(comes_true(patience, [&] { return house->letters().empty(); }));
  house->expect_all_once("bills", 3);
}

TEST_CASE("a redrive to a partition that is out of service begins nothing") {
  transfer_house house;
  house.begin();
  house.bury(2);
  house.node.end();
  house.set_out_of_service(true);
  house.start();
  const auto left =
      house.admin().transfer_dead_letters("orders", "billing", 0, house.offsets(), "bills", 1).left;
  CHECK(codes_of(left) == std::vector<ec>(2, ec::partition_offline));
  CHECK(house.count("") == 2);
  house.transfer_all("bills", 0); // the other one is there
  house.expect_books("orders");
}

TEST_CASE("when the target is deleted the dead letters stay, and may go elsewhere") {
  const auto before = GENERATE(progress_seen::begun, progress_seen::arrived);
  const auto house = cut_at(before, 3);
  house->set_out_of_service(true);
  house->start();
  CHECK(house->count("under-way") == 3);
  house->admin().delete_topic("bills");
  CHECK(comes_true(patience, [&] { return house->count("") == 3; }));
  house->admin().create_topic("bills", 2); // another topic, under its name
  house->transfer_all("bills", 1);
  house->expect_all_once("bills", 3);
}

TEST_CASE("a group that is deleted takes along what is under way, and nothing stays behind") {
  const auto house = cut_at(progress_seen::begun, 3);
  house->set_out_of_service(true);
  house->start();
  CHECK(house->count("under-way") == 3);
  house->admin().delete_group("orders", "billing");
  house->admin().set_group("orders", "billing", {});
  CHECK(house->letters().empty());
  house->node.end();
  house->set_out_of_service(false);
  house->start();
  CHECK(house->letters().empty());
  house->expect_books("orders");
  house->expect_books("bills");
}

TEST_CASE("a target that has forgotten leaves a doubt, and a person decides") {
  const auto before = GENERATE(progress_seen::begun, progress_seen::arrived);
  const auto house = cut_at(before, 3, remembers_one);
  house->let_target_forget();
  house->start();
  REQUIRE(comes_true(patience, [&] { return house->count("in-doubt") == 3; }));
  CHECK(house->node.has_said("redrive-in-doubt"));
  const auto first = house->letters().at(0);
  CHECK(first.transfer_to == "bills/1");
  CHECK_FALSE(first.transfer_why.empty());
  const auto chosen = house->offsets();
  const std::vector<ec> all_in_doubt(3, ec::in_doubt);
  auto& admin = house->admin();
  CHECK(codes_of(admin.purge_dead_letters("orders", "billing", 0, chosen).left) == all_in_doubt);
  CHECK(codes_of(admin.transfer_dead_letters("orders", "billing", 0, chosen, "bills", 1).left) ==
        all_in_doubt);
  house->node.end(); // it is remembered
  house->start();
  CHECK(house->count("in-doubt") == 3);
  house->expect_books("orders");

  auto& again = house->admin();
  CHECK(again.release_dead_letters("orders", "billing", 0, {chosen.data(), 1}) == chosen);
  CHECK(house->count("") == 3);
  if (before == progress_seen::begun) { // it is not there: send it again
    house->transfer_all("bills", 1);
    house->expect_all_once("bills", 3);
  } else { // it is
    CHECK(again.purge_dead_letters("orders", "billing", 0, chosen).moved.size() == 3);
    CHECK(house->arrived("bills").size() == 3);
    house->expect_books("orders");
  }
}

TEST_CASE("what has come in doubt does not keep other dead letters from the same way") {
  const auto house = cut_at(progress_seen::begun, 2, remembers_one);
  house->let_target_forget();
  house->start();
  REQUIRE(comes_true(patience, [&] { return house->count("in-doubt") == 2; }));
  const auto doubtful = house->offsets();
  auto sender = house->admin().producer("orders");
  sender.send({.body = "later"});
  auto from = house->admin().subscribe("orders", "billing");
  const auto m = from.next(patience);
  REQUIRE(m);
  from.nack(*m, "declined");
  from.flush();
  from.close();
  REQUIRE(comes_true(patience, [&] { return house->letters().size() == 3; }));
  const std::vector<message_offset> fresh{m->offset()};
  const auto done = house->admin().transfer_dead_letters("orders", "billing", 0, fresh, "bills", 1);
  CHECK(done.moved.size() == 1);
  CHECK(house->offsets() == doubtful);
}
