// One subscription of one client: joins its group at every partition's leader, shares its credit
// out among them, passes deliveries on and settles what comes back. Source: docs/design.md,
// section 6.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct consumer_session_args {
  context_ptr node;
  port_ptr port;
  call_id opening; ///< answered `subscribed`, or a failure, after which the session ends
  subscribe_call subscription;
  consumer_id consumer; ///< of this process, never used twice
};

[[nodiscard]] consumer_session_actor spawn_consumer_session(caf::actor_system& system,
                                                            consumer_session_args args);

} // namespace waybill
