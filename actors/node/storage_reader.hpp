// Reads what is not in memory any more, on a thread of its own: a slow group, an audit or a long
// list of dead letters never slows those who write. Source: docs/design.md, section 5.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct storage_reader_state;

storage_reader_actor::behavior_type
storage_reader(storage_reader_actor::stateful_pointer<storage_reader_state> self, context_ptr node);

} // namespace waybill
