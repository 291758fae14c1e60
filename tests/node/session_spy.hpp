// Stands in the session supervisor's place and passes everything on to it; so that a test knows
// the sessions that connections got, whom nobody else could name.
#pragma once

#include "actors/context.hpp"

#include <map>
#include <mutex>
#include <vector>

namespace waybill::test {

/// The sessions that were handed out, by what they are; newest last.
struct known_sessions {
  std::mutex guard;
  std::vector<caf::actor_addr> producers, consumers, admins;

  [[nodiscard]] std::vector<caf::actor_addr>
  of(std::vector<caf::actor_addr> known_sessions::*kind) {
    const std::lock_guard lock{guard};
    return this->*kind;
  }
};

/// Takes the role over. To be called again when the session supervisor was started again.
void spy_on_sessions(caf::actor_system& system, const std::shared_ptr<known_sessions>& known);

} // namespace waybill::test
