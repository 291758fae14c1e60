// Topics, and the leaders of their partitions: creates, claims, starts, starts again, deletes.
// Source: docs/design.md, sections 3 and 4.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct partition_supervisor_state;

/// Ends, for its parent to decide, when more leaders fail than `supervision.restarts-max` within
/// `supervision.restarts-within`.
partition_supervisor_actor::behavior_type
partition_supervisor(partition_supervisor_actor::stateful_pointer<partition_supervisor_state> self,
                     context_ptr node);

} // namespace waybill
