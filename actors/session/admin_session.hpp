// What one connection asks beside publishing and consuming: topics, groups, dead letters, the
// books.
#pragma once

#include "actors/context.hpp"

namespace waybill {

struct admin_session_state;

struct admin_session_args {
  context_ptr node;
  port_ptr port;
};

admin_session_actor::behavior_type
admin_session(admin_session_actor::stateful_pointer<admin_session_state> self,
              admin_session_args args);

} // namespace waybill
