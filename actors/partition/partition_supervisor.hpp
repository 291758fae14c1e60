// Topics, and the leaders of their partitions: creates, claims, starts, starts again, deletes.
// Source: docs/design.md, sections 3 and 4.
#pragma once

#include "actors/context.hpp"

namespace waybill {

/// Ends, for its parent to decide, when more leaders fail than `supervision.restarts-max` within
/// `supervision.restarts-within`.
[[nodiscard]] partition_supervisor_actor spawn_partition_supervisor(caf::actor_system& system,
                                                                    context_ptr node);

} // namespace waybill
