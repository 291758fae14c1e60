// Spawns and watches the sessions of all connections. A session that fails is not resumed by guess:
// its connection is told, and the client opens it again from what is on disk.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct session_supervisor_state;

session_supervisor_actor::behavior_type
session_supervisor(session_supervisor_actor::stateful_pointer<session_supervisor_state> self,
                   context_ptr node);

} // namespace waybill
