// The coordinator of a single node: the cluster's facts in the node's own store, through its
// writer. Source: docs/design.md, section 2.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct embedded_coordinator_state;

coordinator_actor::behavior_type
embedded_coordinator(coordinator_actor::stateful_pointer<embedded_coordinator_state> self,
                     context_ptr node);

} // namespace waybill
