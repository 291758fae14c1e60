// The partition supervisor with the actors that it needs, over files in memory.
#include "actors/partition/partition_supervisor.hpp"

#include "actors/coordination/embedded_coordinator.hpp"
#include "actors/node/alarm_desk.hpp"
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
  /// @param copies of partitions that an earlier process has left
  explicit scene(const std::vector<partition_id>& copies = {}) {
    for (const auto& each : copies)
      REQUIRE(open_store()->begin_copy(each, copy_id{7}));
    node = std::make_shared<node_context>(limits{}, "node-1", process_id{1}, open_store());
    system.registry().put(
        role::alarm_desk,
        spawn_alarm_desk(system, {std::make_shared<alarm_book>(supervision_limits{}), {}, {}}));
    system.registry().put(role::storage_writer, spawn_storage_writer(system, node));
    system.registry().put(role::storage_reader, spawn_storage_reader(system, node));
    system.registry().put(role::coordinator, spawn_embedded_coordinator(system, node));
  }
  ~scene() {
    for (const auto each :
         {role::coordinator, role::storage_reader, role::storage_writer, role::alarm_desk}) {
      caf::anon_send_exit(caf::actor_cast<caf::actor>(system.registry().get(each)),
                          caf::exit_reason::user_shutdown);
      system.registry().erase(each);
    }
  }

  std::shared_ptr<store> open_store() {
    store_options options;
    options.directory = "/data/node";
    options.env = &env;
    auto opened = store::open(options);
    REQUIRE(opened);
    return *std::move(opened);
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
  asker
      ->request(supervisor, patience, atom::create_v, std::string{"orders"}, std::uint32_t{2},
                retention_update{})
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

TEST_CASE(
    "a copy of a topic that the coordinator does not know is kept, and an alarm tells of it") {
  const partition_id stranger{topic_id{77}, 0};
  scene s{{stranger}};
  caf::scoped_actor asker{s.system};
  const auto supervisor = spawn_partition_supervisor(s.system, s.node);
  asker->request(supervisor, patience, atom::open_v)
      .receive([](done) {}, [](const caf::error& e) { FAIL(to_failure(e).detail); });
  asker->request(supervisor, patience, atom::list_v)
      .receive([](const topic_list& topics) { CHECK(topics.empty()); },
               [](const caf::error& e) { FAIL(to_failure(e).detail); });
  const auto desk = find_role<alarm_desk_actor>(s.system, role::alarm_desk);
  asker->request(desk, patience, atom::list_v)
      .receive(
          [](const std::vector<alarm_report>& raised) {
            REQUIRE(raised.size() == 1);
            CHECK(raised.front().name == "unknown-copy");
            CHECK(raised.front().subject == "77");
            CHECK(raised.front().level == alarm_level::critical);
          },
          [](const caf::error& e) { FAIL(to_failure(e).detail); });
  asker->send_exit(supervisor, caf::exit_reason::user_shutdown);
  asker->wait_for(supervisor);
  CHECK(s.node->data->recovered().contains(stranger));
}
