// The coordinator of a single node: the cluster's facts in the node's own store, through its
// writer. Source: docs/design.md, section 2.
#pragma once

#include "actors/context.hpp"

namespace waybill {

[[nodiscard]] coordinator_actor spawn_embedded_coordinator(caf::actor_system& system,
                                                           context_ptr node);

} // namespace waybill
