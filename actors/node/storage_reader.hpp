// Reads what is not in memory any more, on a thread of its own: a slow group, an audit or a long
// list of dead letters never slows those who write. Source: docs/design.md, section 5.
#pragma once

#include "actors/context.hpp"

namespace waybill {

[[nodiscard]] storage_reader_actor spawn_storage_reader(caf::actor_system& system,
                                                        context_ptr node);

} // namespace waybill
