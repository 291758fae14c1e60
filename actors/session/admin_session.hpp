// What one connection asks beside publishing and consuming: topics, groups, dead letters, the
// books.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct admin_session_args {
  context_ptr node;
  port_ptr port;
};

[[nodiscard]] admin_session_actor spawn_admin_session(caf::actor_system& system,
                                                      admin_session_args args);

} // namespace waybill
