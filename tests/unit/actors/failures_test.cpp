// Failures between actors: what CAF says when an actor is not there, as clients hear it.
#include "actors/context.hpp"

#include <catch2/catch.hpp>

using namespace waybill;

namespace {

struct system_config : caf::actor_system_config {
  system_config() { add_message_types<caf::id_block::waybill>(); }
};

/// What a question to `whom` ends in.
failure ask(caf::actor_system& system, const caf::actor& whom) {
  failure told{ec::none, {}};
  caf::scoped_actor asker{system};
  asker->request(whom, std::chrono::seconds{20}, atom::list_v)
      .receive([](done) {}, [&told](const caf::error& why) { told = to_failure(why); });
  return told;
}

} // namespace

TEST_CASE("a failure comes back from CAF's error as it was") {
  const auto back = to_failure(to_error({ec::disk_full, "no room"}));
  CHECK(back.code == ec::disk_full);
  CHECK(back.detail == "no room");
}

TEST_CASE("who asks an actor that ends, or is not there, may ask again") {
  system_config config;
  caf::actor_system system{config};
  const auto ended = system.spawn([](caf::event_based_actor* self) -> caf::behavior {
    return {[self](atom::stop) { self->quit(); }, [](atom::list) { return done{}; }};
  });
  SECTION("because it ends before it comes to the question") {
    caf::anon_send(ended, atom::stop_v);
    CHECK(retry_can_help(ask(system, ended).code));
  }
  SECTION("because it has ended before") {
    caf::anon_send_exit(ended, caf::exit_reason::kill);
    CHECK(retry_can_help(ask(system, ended).code));
  }
  SECTION("because nobody has the role") { CHECK(retry_can_help(ask(system, caf::actor{}).code)); }
}

TEST_CASE("a time-out may be repeated, any other fault of CAF may not") {
  CHECK(retry_can_help(to_failure(caf::make_error(caf::sec::request_timeout)).code));
  CHECK(to_failure(caf::make_error(caf::sec::unexpected_message)).code == ec::internal);
}
