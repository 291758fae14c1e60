// Spawns and watches the sessions of all connections. A session that fails is not resumed by guess:
// its connection is told, and the client opens it again from what is on disk.
#pragma once

#include "actors/context.hpp"

namespace waybill {

[[nodiscard]] session_supervisor_actor spawn_session_supervisor(caf::actor_system& system,
                                                                context_ptr node);

} // namespace waybill
