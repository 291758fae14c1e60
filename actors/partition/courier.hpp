// Carries one transfer's batch to its target: looks the leader there up, sends, and sends again the
// same bytes under the same opening and number until the answer is final. What an answer means is
// decided in actors/rules/transfers.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct courier_args {
  context_ptr node;
  partition_leader_actor leader; ///< told; the courier ends with it
  partition_id source;
  std::string topic; ///< the source's name
  std::string group;
  log_index begun; ///< the entry that began the transfer
  transfer_state what;
  std::string batch; ///< empty: made again of the dead letters in the store
  arrival known = arrival::possible;
};

[[nodiscard]] courier_actor spawn_courier(caf::actor_system& system, courier_args args);

} // namespace waybill
