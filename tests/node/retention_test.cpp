// A topic that drops what nobody has read, and one that keeps what everybody has: on a whole node.
#include "tests/node/hosted_node.hpp"

#include "net/client/client.hpp"

#include <catch2/catch.hpp>

using namespace waybill;
using namespace waybill::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t many = 12;

struct house {
  fault_env env;
  hosted_node node{
      {.env = &env,
       .flags = {"--partitions.retention-interval=20ms", "--partitions.checkpoint-interval=50ms"}}};
  house() { node.start(); }
  [[nodiscard]] client depot() { return client{node.server(), quiet()}; }
};

/// About a megabyte each, with its number in front.
void publish(client& depot, std::uint64_t messages = many) {
  auto sender = depot.producer("orders");
  for (std::uint64_t i = 0; i < messages; ++i)
    sender.send({.body = std::to_string(i) + " " + std::string(1'000'000, 'x')});
}

group_books books_of(client& depot, const std::string& group) {
  const auto books = depot.audit("orders", 0);
  CHECK(books.balances);
  for (const auto& each : books.groups)
    if (each.group == group)
      return each;
  FAIL("there are no books of group " << group);
  return {};
}

/// Takes and acknowledges all that comes. @returns the offsets
std::vector<std::uint64_t> read_all(client& depot, const std::string& group, std::size_t expected) {
  auto from = depot.subscribe("orders", group);
  std::vector<std::uint64_t> offsets;
  while (offsets.size() < expected) {
    const auto m = from.next(20s);
    REQUIRE(m);
    CHECK(m->body().substr(0, m->body().find(' ')) == std::to_string(m->offset().value));
    offsets.push_back(m->offset().value);
    from.ack_and_wait(*m);
  }
  return offsets;
}

std::vector<std::uint64_t> numbers(std::uint64_t first, std::uint64_t end) {
  std::vector<std::uint64_t> all;
  for (; first < end; ++first)
    all.push_back(first);
  return all;
}

} // namespace

TEST_CASE("what a group has not read goes by size, after an alarm, and is counted") {
  house h;
  auto depot = h.depot();
  depot.create_topic("orders", 1);
  depot.set_group("orders", "billing", {});
  publish(depot);
  CHECK(books_of(depot, "billing").dropped_unread == 0);
  depot.set_topic("orders", {.bytes = 5'000'000});
  std::uint64_t lost = 0;
  REQUIRE(comes_true(20s, [&] {
    lost = books_of(depot, "billing").dropped_unread;
    return lost > 0;
  }));
  CHECK(lost >= many - 5 - 3); // a boundary lies at a mark, and marks a megabyte apart at least
  CHECK(lost <= many - 5);
  CHECK(h.node.has_said("ALARM unread-dropped (orders#0, group billing)"));
  CHECK(read_all(depot, "billing", many - lost) == numbers(lost, many));
  CHECK(comes_true(20s, [&] { return h.node.has_said("unread-dropped is over"); }));
  CHECK(books_of(depot, "billing").acked == many - lost);
  SECTION("also when the power fails afterwards") {
    h.node.cut_power(1);
    h.node.start();
    auto again = h.depot();
    CHECK(books_of(again, "billing").dropped_unread == lost);
    CHECK(again.describe_topic("orders").retention.bytes == 5'000'000);
    CHECK(again.describe_topic("orders").retention.age == 0ms);
  }
}

TEST_CASE("a topic without groups loses what is older than its messages may be") {
  house h;
  auto depot = h.depot();
  depot.create_topic("orders", 1, {.age = 500ms});
  publish(depot, 2);
  int groups = 0;
  const auto is_empty = [&] {
    const auto group = "group-" + std::to_string(++groups);
    depot.set_group("orders", group, {});
    const auto arrived = books_of(depot, group).arrived;
    depot.delete_group("orders", group);
    return arrived == 0;
  };
  REQUIRE(comes_true(20s, is_empty));
  depot.set_topic("orders", {.age = 0ms});
  publish(depot, 2);
  CHECK_FALSE(is_empty());
}

TEST_CASE("what is kept comes again for the only group, also after a power cut") {
  house h;
  auto depot = h.depot();
  depot.create_topic("orders", 1, {.keep = 1h});
  publish(depot);
  CHECK(read_all(depot, "billing", many) == numbers(0, many));
  h.node.cut_power(1);
  h.node.start();
  auto again = h.depot();
  CHECK(again.describe_topic("orders").retention.keep == 1h);
  CHECK(again.seek_group("orders", "billing", 0, {}).reopened == many);
  CHECK(read_all(again, "billing", many) == numbers(0, many));
  CHECK(read_all(again, "a-new-one", many) == numbers(0, many));
  CHECK(books_of(again, "billing").reopened == many);
  again.set_topic("orders", {.keep = 0ms});
  REQUIRE(comes_true(20s, [&] {
    const auto reopened = again.seek_group("orders", "billing", 0, {}).reopened;
    if (reopened > 0)
      read_all(again, "billing", reopened);
    return reopened == 0;
  }));
}

TEST_CASE("the alarm is over when nothing is dropped any more, and comes without a group too") {
  house h;
  auto depot = h.depot();
  depot.create_topic("orders", 1);
  depot.set_group("orders", "billing", {});
  publish(depot, 2);
  depot.set_topic("orders", {.age = 1ms});
  REQUIRE(comes_true(
      20s, [&] { return h.node.has_said("ALARM unread-dropped (orders#0, group billing)"); }));
  depot.set_topic("orders", {.age = 0ms});
  REQUIRE(comes_true(20s, [&] { return h.node.has_said("unread-dropped is over"); }));
  depot.delete_group("orders", "billing");
  publish(depot, 2);
  depot.set_topic("orders", {.age = 1ms});
  REQUIRE(comes_true(20s, [&] { return h.node.has_said("ALARM unread-dropped (orders#0):"); }));
}

TEST_CASE("settings that cannot be are refused with a sentence, and change nothing") {
  house h;
  auto depot = h.depot();
  const auto refused = [](auto what, ec code) {
    try {
      what();
      FAIL("it was taken");
    } catch (const client_error& e) {
      CHECK(e.code() == code);
    }
  };
  refused([&] { depot.create_topic("orders", 1, {.keep = 2h, .age = 1h}); }, ec::bad_argument);
  refused([&] { depot.set_topic("orders", {.keep = 1h}); }, ec::unknown_topic);
  depot.create_topic("orders", 1, {.age = 1h});
  refused([&] { depot.set_topic("orders", {.keep = 2h}); }, ec::bad_argument);
  refused([&] { depot.set_topic("orders", {.age = -1ms}); }, ec::bad_argument);
  CHECK(depot.describe_topic("orders").retention.keep == 0ms);
  CHECK(depot.describe_topic("orders").retention.age == 1h);
}
