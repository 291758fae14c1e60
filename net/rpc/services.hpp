// The contract's capabilities as a client holds them: each call is checked for its bounds, handed
// to an actor, and answered when that answers.
#pragma once

#include "net/rpc/connection.hpp"

namespace waybill::rpc {

/// What a connection begins with.
[[nodiscard]] wire::Depot::Client make_depot(std::shared_ptr<connection> over);

} // namespace waybill::rpc
