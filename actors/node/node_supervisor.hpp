// The root of a node's actors: starts everything in order, restarts what fails, stops in order.
// Source: docs/design.md, section 3.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct node_supervisor_args {
  context_ptr node;
  alarm_sink_actor log; ///< told of alarms; not ended here
};

/// Ends by itself, with the reason, when the store fails (`storage_failed`) or when a child fails
/// more often than the supervision limits allow: whoever spawned it monitors it and ends the
/// process.
[[nodiscard]] node_supervisor_actor spawn_node_supervisor(caf::actor_system& system,
                                                          node_supervisor_args args);

} // namespace waybill
