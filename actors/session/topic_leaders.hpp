// What producer and consumer sessions share: a topic's leaders, looked up, watched, and looked up
// again when one ends. Source: docs/design.md, section 3.
#pragma once

#include "actors/context.hpp"

#include <functional>

namespace waybill {

/// Asks the partition supervisor for a topic. `then` gets it, or why not.
template <class Self>
void look_up_topic(Self self, const context_ptr& node, const std::string& topic,
                   std::function<void(topic_ptr, const failure*)> then) {
  const auto partitions =
      find_role<partition_supervisor_actor>(self->system(), role::partition_supervisor);
  const failure starting{ec::partition_offline, "the node's partitions are being started; repeat"};
  if (!partitions)
    return then(nullptr, &starting);
  self->request(partitions, node->bounds.storage.request_timeout, atom::resolve_v, topic)
      .then([then](const topic_ptr& found) { then(found, nullptr); },
            [then](const caf::error& error) {
              const auto why = to_failure(error);
              then(nullptr, &why);
            });
}

/// Why a session cannot begin its work on a topic yet: a partition is being started, or none is in
/// service. Those that are out of service are nobody's reason to do without the others.
[[nodiscard]] inline const failure* not_ready(const topic_view& topic) {
  const failure* out_of_service = nullptr;
  bool has_leader = false;
  for (const auto& each : topic.partitions) {
    if (!each.leader && !each.out_of_service)
      return &each.why;
    if (each.leader)
      has_leader = true;
    else
      out_of_service = &each.why;
  }
  return has_leader ? nullptr : out_of_service;
}

/// How long a session waits before it looks a lost leader up again.
inline constexpr milliseconds look_up_again{50};

} // namespace waybill
