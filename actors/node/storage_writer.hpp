// The one writer of a node's store, on a thread of its own: LevelDB blocks. Group commit: all that
// waits in the mailbox goes into one synced write. Source: docs/design.md, sections 3 and 5.
#pragma once

#include "actors/context.hpp"

namespace waybill {

/// Ends with `storage_failed` after the first write that fails: what is on the disk is unknown,
/// nothing is tried again, and the node stops with it.
[[nodiscard]] storage_writer_actor spawn_storage_writer(caf::actor_system& system,
                                                        context_ptr node);

} // namespace waybill
