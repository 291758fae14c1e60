// What every actor of a node may know: who the node is, its bounds, its store, and the few numbers
// that are shared without a message. And how actors find each other: by role, for who is restarted
// has a new handle.
#pragma once

#include "actors/extension_board.hpp"
#include "actors/messages.hpp"
#include "actors/rules/near_limit.hpp"
#include "config/limits.hpp"
#include "storage/entry_cache.hpp"
#include "storage/plain_batches.hpp"
#include "storage/store.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace waybill {

struct node_context {
  node_context(limits l, std::string name, process_id p, std::shared_ptr<store> s)
      : bounds{l}, node{std::move(name)}, process{p}, data{std::move(s)},
        cache{l.storage.tail_bytes_max} {}
  const limits bounds;
  const std::string node; ///< `node.id`
  const process_id process;
  const wall_time started =
      std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
  bool development = false; ///< a single node without a coordinator
  const std::shared_ptr<store> data;
  entry_cache cache;
  plain_batches plain{8u << 20}; ///< what pumps of all partitions take apart
  extension_board extensions;    ///< filled before the actors start
  /// Bytes of entries that wait for the disk: counted by the leader that hands them to the storage
  /// writer, taken off by the writer. Leaders refuse beyond `pending_bytes_max`.
  std::atomic<std::uint64_t> pending_bytes{0};
  /// The alarm for it is raised: by the leader that sees it, and taken back by the writer.
  std::atomic<bool> pending_near{false};
  /// Free space is below `storage.disk-free-min`: leaders refuse to take new messages.
  std::atomic<bool> disk_full{false};
};
using context_ptr = std::shared_ptr<node_context>;

namespace role {
inline constexpr auto storage_writer = caf::atom("writer");
inline constexpr auto storage_reader = caf::atom("reader");
inline constexpr auto auditor = caf::atom("auditor"); ///< a second reader, for long walks
inline constexpr auto coordinator = caf::atom("coord");
inline constexpr auto partition_supervisor = caf::atom("parts");
inline constexpr auto session_supervisor = caf::atom("sessions");
inline constexpr auto alarm_desk = caf::atom("alarms");
inline constexpr auto extensions = caf::atom("extensions");
} // namespace role

/// The actor that has the role now; an empty handle while nobody has.
template <class Handle>
[[nodiscard]] Handle find_role(caf::actor_system& system, caf::atom_value role) {
  return caf::actor_cast<Handle>(system.registry().get(role));
}

/// The steady and the wall clock, as rules want them. An actor's clock, so that a test owns it.
[[nodiscard]] moment now_of(caf::local_actor& self);

/// To the alarm desk, if there is one.
void raise_alarm(caf::local_actor& self, alarm_report report);

} // namespace waybill
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(waybill::context_ptr)
