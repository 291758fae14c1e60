// A clean stop under load, and every way in which a node does not even start: sentences, and
// nothing lost.
#include "tests/node/hosted_node.hpp"
#include "tests/node/traffic.hpp"

#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

using namespace waybill;
using namespace waybill::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

milliseconds since(steady_clock::time_point began) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
}

/// The failure's words hold all of these.
void expect_words(const failure& why, std::initializer_list<std::string> words) {
  INFO(why.detail);
  for (const auto& each : words)
    CHECK(why.detail.find(each) != std::string::npos);
}

} // namespace

TEST_CASE("a clean stop under load loses nothing, and counts no attempt for what is given back") {
  fault_env env;
  hosted_node node{{.env = &env}};
  node.start();
  traffic clients{{.server = node.server(), .producers = 4, .credit = 500}};
  clients.start();
  milliseconds longest{0};
  for (int stop = 0; stop < 4; ++stop) {
    const auto before = clients.consumed();
    REQUIRE(comes_true(20s, [&] { return clients.consumed() >= before + 100; }));
    const auto began = steady_clock::now();
    node.end();
    longest = std::max(longest, since(began));
    node.start();
  }
  clients.stop_producers();
  CHECK(clients.await_settled(20s));
  clients.stop_consumers();
  for (const auto& each : clients.violations())
    FAIL_CHECK(each);
  for (const auto& each : clients.violations_of_books())
    FAIL_CHECK(each);
  CHECK(clients.highest_attempt() == 1);
  std::printf("  %llu messages confirmed over 4 clean stops, the longest took %lld ms\n",
              static_cast<unsigned long long>(clients.confirmed()),
              static_cast<long long>(longest.count()));
  CHECK(longest < 10s);
}

TEST_CASE("what a consumer holds while the node stops is given back, not counted") {
  fault_env env;
  hosted_node node{{.env = &env}};
  node.start();
  client depot{node.server(), quiet()};
  depot.create_topic("orders", 1);
  auto sender = depot.producer("orders");
  for (int i = 0; i < 100; ++i)
    sender.send_async({.body = std::to_string(i)});
  sender.flush();
  auto from = depot.subscribe("orders", "billing");
  for (int i = 0; i < 50; ++i)
    REQUIRE(from.next(10s));
  node.end();
  node.start();
  std::size_t got = 0;
  while (got < 100) {
    const auto m = from.next(20s);
    REQUIRE(m);
    CHECK(m->attempt() == 1);
    from.ack_and_wait(*m);
    ++got;
  }
  CHECK_FALSE(from.next(200ms));
}

TEST_CASE("a stop does not wait for clients that are idle or do not answer") {
  fault_env env;
  hosted_node node{{.env = &env}};
  node.start();
  client depot{node.server(), quiet()};
  depot.create_topic("orders", 3);
  auto sender = depot.producer("orders");
  auto from = depot.subscribe("orders", "billing");
  const auto began = steady_clock::now();
  node.end();
  CHECK(since(began) < 5s);
}

/// The writer ends out of its turn: the last checkpoints fail.
TEST_CASE("a node whose disk fails while it stops ends all the same") {
  fault_env env;
  hosted_node node{{.env = &env}};
  for (int round = 0; round < 20; ++round) {
    REQUIRE(node.try_start());
    client depot{node.server(), quiet()};
    depot.create_topic("orders-" + std::to_string(round), 2);
    node.cut_power(static_cast<std::uint64_t>(round));
  }
}

TEST_CASE("a second node on the same directory is refused by the name of its holder") {
  const temporary_directory directory;
  hosted_node first{{.directory = directory.path() + "/node"}};
  first.start();
  hosted_node second{{.directory = directory.path() + "/node"}};
  const auto refused = second.try_start();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ec::directory_held);
  expect_words(refused.error(), {"process " + std::to_string(::getpid()), directory.path()});
  client depot{first.server(), quiet()};
  CHECK_NOTHROW(depot.create_topic("orders", 1));
  first.end();
  CHECK(second.try_start());
}

TEST_CASE("a port in use is told in a sentence, and the directory is free again") {
  const temporary_directory directory;
  hosted_node first{{.directory = directory.path() + "/first"}};
  first.start();
  const auto address = "127.0.0.1:" + std::to_string(first.port());
  hosted_node second{
      {.directory = directory.path() + "/second", .flags = {"--net.listen=" + address}}};
  const auto refused = second.try_start();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ec::bad_argument);
  expect_words(refused.error(), {address, "net.listen"});
  CHECK_FALSE(std::filesystem::exists(directory.path() + "/second"));
  hosted_node third{{.directory = directory.path() + "/second"}};
  CHECK(third.try_start());
}

TEST_CASE("a directory with somebody else's files is refused and left as it is") {
  const temporary_directory directory;
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& each : std::filesystem::directory_iterator{directory.path()})
      names.push_back(each.path().filename());
    return names;
  };
  std::filesystem::create_directory(directory.path() + "/photos");
  hosted_node node{{.directory = directory.path()}};
  const auto refused = node.try_start();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ec::bad_argument);
  expect_words(refused.error(), {directory.path(), "photos", "node.data-dir"});
  CHECK(files() == std::vector<std::string>{"photos"});
  std::filesystem::rename(directory.path() + "/photos", directory.path() + "/lost+found");
  CHECK(node.try_start()); // an empty disk of its own
}

TEST_CASE("a directory that cannot be written is told in a sentence") {
  const temporary_directory directory;
  SECTION("because a file is in its place") {
    const auto path = directory.path() + "/taken";
    {
      std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "w"),
                                                           std::fclose};
    }
    hosted_node node{{.directory = path + "/node"}};
    const auto refused = node.try_start();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ec::storage_failed);
    expect_words(refused.error(), {path});
  }
  SECTION("because of its permissions") {
    if (::geteuid() == 0) {
      // Permissions bind everybody but the superuser, for whom a file system that nobody can
      // write to stands in.
      hosted_node node{{.directory = "/proc/waybill"}};
      const auto refused = node.try_start();
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ec::storage_failed);
      expect_words(refused.error(), {"/proc/waybill", "permissions"});
    } else {
      REQUIRE(::chmod(directory.path().c_str(), 0500) == 0);
      hosted_node node{{.directory = directory.path() + "/node"}};
      const auto refused = node.try_start();
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ec::storage_failed);
      expect_words(refused.error(), {directory.path(), "permissions"});
    }
  }
}
