// Which extension serves where, and the one that runs now. Filled before a node's actors start, and
// then the same for as long as they live, but for the handles of who is started again.
#pragma once

#include "actors/bytes_in_hand.hpp"
#include "actors/extensions.hpp"
#include "actors/rules/placement.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace waybill {

/// What one extension was handed, and it or those who wait for its answer still hold.
inline constexpr std::uint64_t extension_bytes_max = 64u << 20;

/// One extension that the configuration places. Any thread.
class extension_slot {
public:
  enum class kind : std::uint8_t { alarm_sink, interceptor, letter_listener, redelivery_policy };

  extension_slot(kind what, std::string name,
                 std::function<caf::strong_actor_ptr(caf::actor_system&)> start)
      : what_{what}, name_{std::move(name)}, start_{std::move(start)} {}

  [[nodiscard]] kind what() const noexcept { return what_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// `interceptor checker`.
  [[nodiscard]] std::string title() const;
  /// The one that runs now; an empty handle while there is none.
  template <class Handle>
  [[nodiscard]] Handle find() const {
    return caf::actor_cast<Handle>(current());
  }
  [[nodiscard]] caf::strong_actor_ptr current() const {
    const std::lock_guard lock{guard_};
    return now_;
  }

  // ---- For its supervisor
  /// Whatever the program's function throws comes through.
  [[nodiscard]] caf::strong_actor_ptr start(caf::actor_system& system) const {
    return start_(system);
  }
  void set(caf::strong_actor_ptr now) {
    const std::lock_guard lock{guard_};
    now_ = std::move(now);
  }

  /// The alarm that it does not answer in time is raised: by whoever sees it first.
  std::atomic<bool> late{false};
  /// Batches, dead letters, failed messages: also those that lie in the mailbox of one that hangs.
  const bytes_in_hand in_hand{extension_bytes_max};

private:
  const kind what_;
  const std::string name_;
  const std::function<caf::strong_actor_ptr(caf::actor_system&)> start_;
  mutable std::mutex guard_;
  caf::strong_actor_ptr now_;
};

/// What the configuration says, taken apart.
struct extension_places {
  std::vector<std::string> alarm_sinks;
  std::vector<placement> interceptors;        ///< by topic
  std::vector<placement> letter_listeners;    ///< by topic and group
  std::vector<placement> redelivery_policies; ///< likewise
};

class extension_board {
public:
  extension_board() = default;
  /// @pre no extension is unknown
  void fill(const extension_set& known, const extension_places& placed);

  [[nodiscard]] const std::vector<std::unique_ptr<extension_slot>>& slots() const { return slots_; }
  /// The first that is placed at this topic; null: none.
  [[nodiscard]] extension_slot* interceptor_of(std::string_view topic) const;
  /// The first that is placed at this group; null: none.
  [[nodiscard]] extension_slot* redelivery_of(std::string_view topic, std::string_view group) const;
  /// The places in `slots` of all that are placed at this group.
  [[nodiscard]] std::vector<std::size_t> listeners_of(std::string_view topic,
                                                      std::string_view group) const;

private:
  template <class Factories>
  std::size_t slot_of(extension_slot::kind what, const std::string& name,
                      const Factories& factories);

  std::vector<std::unique_ptr<extension_slot>> slots_;
  std::vector<std::pair<std::string, std::size_t>> interceptors_, listeners_,
      policies_; ///< pattern, slot
};

} // namespace waybill
