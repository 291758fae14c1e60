// What a node tells of its process: the figures that a measurement takes two of.
#include "tests/node/hosted_node.hpp"

#include "net/client/client.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <unistd.h>
#include <vector>

using namespace waybill;
using namespace waybill::test;

namespace {

constexpr std::uint64_t mib = 1u << 20;

/// A node over the machine's files, and a client.
struct house {
  house() : node{{.directory = directory.path() + "/data"}} {
    node.start();
    admin.emplace(node.server());
  }
  temporary_directory directory;
  hosted_node node;
  std::optional<client> admin;
};

} // namespace

TEST_CASE("a node tells its process, and counts every sync of a confirm", "[node_stats]") {
  house h;
  h.admin->create_topic("orders", 1);
  const auto before = h.admin->stats();
  CHECK(before.process == static_cast<std::uint64_t>(::getpid()));
  CHECK(before.memory_bytes > 0);
  CHECK(before.memory_peak_bytes >= before.memory_bytes);
  auto orders = h.admin->producer("orders");
  for (int i = 0; i < 50; ++i)
    orders.send("one at a time");
  const auto after = h.admin->stats();
  CHECK(after.started == before.started);
  CHECK(after.machine == before.machine);
  CHECK(after.syncs >= before.syncs + 50);
  CHECK(after.syncs < before.syncs + 500);
  CHECK(after.cpu_user + after.cpu_system > before.cpu_user + before.cpu_system);
}

TEST_CASE("the peak of a node's memory can be counted anew", "[node_stats]") {
  house h;
  {
    std::vector<char> large(200 * mib);
    std::memset(large.data(), 1, large.size());
  }
  const auto high = h.admin->stats(memory_peak::reset);
  CHECK(high.memory_peak_bytes >= 200 * mib);
  const auto low = h.admin->stats();
  CHECK(low.memory_peak_bytes < high.memory_peak_bytes - 100 * mib);
  CHECK(low.memory_peak_bytes >= low.memory_bytes);
}

TEST_CASE("a node that was started again says so", "[node_stats]") {
  house h;
  const auto first = h.admin->stats();
  h.node.end();
  h.node.start();
  const auto second = h.admin->stats();
  CHECK(second.started > first.started);
}
