// The partition supervisor with the actors that it needs, over files in memory.
#include "actors/partition/partition_supervisor.hpp"

#include "actors/coordination/embedded_coordinator.hpp"
#include "actors/node/storage_reader.hpp"
#include "actors/node/storage_writer.hpp"
#include "tests/support/fault_env.hpp"

#include <catch2/catch.hpp>

using namespace waybill;

namespace {

constexpr std::chrono::seconds patience{20};

struct system_config : caf::actor_system_config {
  system_config() { add_message_types<caf::id_block::waybill>(); }
};

/// Everyone whom a partition supervisor looks for; itself it has no role.
struct scene {
  scene() {
    store_options options;
    options.directory = "/data/node";
    options.env = &env;
    auto opened = store::open(options);
    REQUIRE(opened);
    node = std::make_shared<node_context>(limits{}, "node-1", process_id{1},
                                          std::shared_ptr<store>{*std::move(opened)});
    system.registry().put(role::storage_writer, spawn_storage_writer(system, node));
    system.registry().put(role::storage_reader, spawn_storage_reader(system, node));
    system.registry().put(role::coordinator, spawn_embedded_coordinator(system, node));
  }
  ~scene() {
    for (const auto each : {role::coordinator, role::storage_reader, role::storage_writer}) {
      caf::anon_send_exit(caf::actor_cast<caf::actor>(system.registry().get(each)),
                          caf::exit_reason::user_shutdown);
      system.registry().erase(each);
    }
  }

  test::fault_env env;
  system_config config;
  caf::actor_system system{config};
  context_ptr node;
};

} // namespace

TEST_CASE("partitions lead also while their supervisor has not got its role yet") {
  scene s;
  caf::scoped_actor asker{s.system};
  const auto supervisor = spawn_partition_supervisor(s.system, s.node);
  asker->request(supervisor, patience, atom::open_v)
      .receive([](done) {}, [](const caf::error& e) { FAIL(to_failure(e).detail); });
  asker->request(supervisor, patience, atom::create_v, std::string{"orders"}, std::uint32_t{2})
      .receive([](done) {}, [](const caf::error& e) { FAIL(to_failure(e).detail); });
  asker->request(supervisor, patience, atom::list_v)
      .receive(
          [](const topic_list& topics) {
            REQUIRE(topics.size() == 1);
            for (const auto& each : topics.front()->partitions)
              CHECK(each.leader);
          },
          [](const caf::error& e) { FAIL(to_failure(e).detail); });
  asker->send_exit(supervisor, caf::exit_reason::user_shutdown);
}
