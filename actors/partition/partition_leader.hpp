// Leads one partition in one epoch, then ends: the shell around the rules of replication, delivery
// and producers. Source: docs/design.md, sections 3, 4 and 6.
#pragma once

#include "actors/context.hpp"
#include "actors/rules/replication.hpp"

namespace waybill {

struct partition_leader_args {
  context_ptr node;
  /// Told that it leads. Its own and no other: not looked up by role, for a leader may be there
  /// before its supervisor has the role, and one that is about to end speaks to no successor.
  partition_supervisor_actor parent;
  partition_id partition;
  std::string topic; ///< for people
  epoch leading;     ///< claimed in the coordinator, not promised yet
  replica_name self;
  retention_settings retention; ///< of the topic
  log_position committed;       ///< the record's: a log that lacks it is damaged
};

/// Promises the epoch, appends its start, applies what the log holds beyond the checkpoint, and
/// tells its parent that it leads. Ends with the reason: `damaged` (do not start it again),
/// `storage_failed`, `not_leader`, or a defect.
[[nodiscard]] partition_leader_actor spawn_partition_leader(caf::actor_system& system,
                                                            partition_leader_args args);

} // namespace waybill
