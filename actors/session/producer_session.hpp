// One open producer of one client: checks its batches, hands them to the partitions' leaders, and
// answers the client's connection. Source: docs/design.md, sections 3 and 7.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct producer_session_args {
  context_ptr node;
  port_ptr port;
  call_id opening; ///< answered `opened_producer`, or a failure, after which the session ends
  open_producer_call producer;
};

/// Opens the producer on every partition of the topic, then serves until `close` or `vanished`.
[[nodiscard]] producer_session_actor spawn_producer_session(caf::actor_system& system,
                                                            producer_session_args args);

} // namespace waybill
