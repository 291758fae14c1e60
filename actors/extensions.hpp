// What a program of one's own may add to a node: behaviours that it registers under a name, and
// that the configuration places. Each kind has an interface here. Source: docs/design.md, section
// 3; how to write one: docs/extending.md.
//
// All of them are supervised: one that ends is started again by the function it was registered
// with. One that does not answer in time is not waited for. A behaviour must not block the thread
// that it runs on, unless its function spawns it `caf::detached`; a node that stops waits for it.
#pragma once

#include "actors/messages.hpp"
#include "storage/records_codec.hpp"

#include <caf/all.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace waybill {

/// A batch that a producer has sent, before it becomes an entry.
struct offered_batch {
  std::string topic;
  std::uint32_t partition = 0;
  std::string producer;
  shared_bytes bytes;                 ///< a flat array; what was sent may be compressed
  std::vector<message_view> messages; ///< key, headers, body: views into `bytes`
};
using offered_ptr = std::shared_ptr<const offered_batch>;

/// What is to become of it.
struct interception {
  using headers = std::vector<std::pair<std::string, std::string>>;
  enum class verdict : std::uint8_t { accept, change, reject };
  verdict what = verdict::accept;
  std::map<std::uint32_t, headers> changed{}; ///< by place in the batch: all headers from now on
  std::string reason{};                       ///< of a rejection: the producer is told

  [[nodiscard]] static interception accept() { return {}; }
  [[nodiscard]] static interception change(std::map<std::uint32_t, headers> to) {
    return {verdict::change, std::move(to), {}};
  }
  /// The whole batch. The producer gets the error `rejected`, and repeats nothing.
  [[nodiscard]] static interception reject(std::string why) {
    return {verdict::reject, {}, std::move(why)};
  }
};

/// PUBLISH INTERCEPTOR: asked about each batch of the topics where it is placed. Without an answer
/// within `extensions.interceptor-timeout` the batch is refused with `extension_failed`, and comes
/// again. A repeat of a batch is asked about again, and gets the receipt of the first time whatever
/// the answer is.
using interceptor_actor =
    caf::typed_actor<caf::replies_to<atom::intercept, offered_ptr>::with<interception>>;

struct buried_letter {
  std::string topic;
  std::uint32_t partition = 0;
  std::string group;
  dead_letter letter; ///< with its message: `read_message` reads it
};
using buried_ptr = std::shared_ptr<const buried_letter>;

/// DEAD-LETTER LISTENER: told of each dead letter of the groups where it is placed, one after the
/// other, after it is committed; the next one comes when it has answered. At most once: what it
/// does not take in time, what does not fit into its queue, and what was buried just before the
/// node ended it is not told. The dead letters themselves are there either way (`waybill dlq
/// list`).
using letter_listener_actor =
    caf::typed_actor<caf::replies_to<atom::letter, buried_ptr>::with<done>>;

/// A message of which its consumer has said that the work failed.
struct failed_message {
  std::string topic;
  std::uint32_t partition = 0;
  message_offset offset;
  std::string group;
  std::string consumer;                ///< its name
  std::string reason;                  ///< the consumer's
  std::uint32_t attempt = 1;           ///< that failed; 1: the first
  std::uint32_t attempts_max = 1;      ///< of the group: after the last it is a dead letter anyhow
  std::optional<milliseconds> delay{}; ///< what the consumer asks for
};
using failed_ptr = std::shared_ptr<const failed_message>;

/// What is to become of it.
struct redelivery {
  after_failure then = after_failure::again;
  /// Before it is delivered again; `delivery.lease-max` at the most. None: as the consumer asked
  /// for, else by the group's policy.
  std::optional<milliseconds> delay{};

  [[nodiscard]] static redelivery again(std::optional<milliseconds> delay = std::nullopt) {
    return {after_failure::again, delay};
  }
  [[nodiscard]] static redelivery bury() { return {after_failure::bury, {}}; }
};

/// REDELIVERY POLICY: asked when a consumer of the groups where it is placed says that its work on
/// a message failed, and attempts are left. What it answers becomes part of the committed record,
/// and is not asked again. Without an answer within `extensions.redelivery-timeout`, and for a
/// lease that ran out or a consumer that vanished, the group's own policy counts.
using redelivery_actor =
    caf::typed_actor<caf::replies_to<atom::failed, failed_ptr>::with<redelivery>>;

/// Starts an extension, and starts it again when it has ended. Called on an actor's thread.
template <class Handle>
using extension_factory = std::function<Handle(caf::actor_system&)>;

/// What a program has registered, by name.
struct extension_set {
  std::map<std::string, extension_factory<alarm_sink_actor>> alarm_sinks{};
  std::map<std::string, extension_factory<interceptor_actor>> interceptors{};
  std::map<std::string, extension_factory<letter_listener_actor>> letter_listeners{};
  std::map<std::string, extension_factory<redelivery_actor>> redelivery_policies{};
};

} // namespace waybill
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(waybill::offered_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(waybill::interception)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(waybill::buried_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(waybill::failed_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(waybill::redelivery)
