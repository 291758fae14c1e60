// Starts the extensions that the configuration places, and starts again what ends. One that fails
// too often is left alone for a while, with an alarm; nobody else fails with it.
#pragma once

#include "actors/context.hpp"

namespace waybill {

/// EXTENSION SUPERVISOR: also hands dead letters to their listeners.
using extension_supervisor_actor = caf::typed_actor<
    // From a leader: this was buried; for the listener with this place on the board.
    caf::reacts_to<atom::letter, std::uint64_t, buried_ptr>,
    // To itself: start the extension with this place again.
    caf::reacts_to<atom::create, std::uint64_t>,
    // To itself: see who has held out, and tell listeners that were not there.
    caf::reacts_to<atom::tick>>;

[[nodiscard]] extension_supervisor_actor spawn_extension_supervisor(caf::actor_system& system,
                                                                    context_ptr node);

} // namespace waybill
