// Which of a group's dead letters a command is about: by why they died, by the words of it, by time
// and key.
#pragma once

#include "apps/waybill/when.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::cli {

/// Why a dead letter is one, as the contract tells it.
inline constexpr std::array<std::string_view, 5> letter_whys = {
    "nack", "lease-expired", "disconnected", "leader-changed", "expired"};

/// What must be true of a dead letter; what is not set is true of all.
struct letter_choice {
  std::optional<std::string> why;    ///< one of `letter_whys`
  std::optional<std::string> reason; ///< is part of its reason
  std::optional<when> since;         ///< it died then or later; a span: so long ago
  std::optional<std::string> key;    ///< is its key

  [[nodiscard]] bool is_set() const { return why || reason || since || key; }
  /// Whether keys must be read, which come with the bodies alone.
  [[nodiscard]] bool wants_bodies() const { return key.has_value(); }
  /// `letter`: has `why`, `reason`, `died`, `key`.
  template <class Letter>
  [[nodiscard]] bool matches(const Letter& letter, wall_time now) const {
    return (!why || letter.why == *why) &&
           (!reason || letter.reason.find(*reason) != std::string::npos) &&
           (!since || letter.died >= since_time(now)) && (!key || letter.key == *key);
  }

private:
  [[nodiscard]] wall_time since_time(wall_time now) const {
    if (const auto* span = std::get_if<std::chrono::milliseconds>(&*since))
      return now - *span;
    return std::get<wall_time>(*since);
  }
};

} // namespace waybill::cli
