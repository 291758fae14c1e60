// What a node tells people about itself: an alarm's stable name, what it is about, and what helps.
// Plain values. Source: docs/design.md, sections 3 and 5.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace waybill {

enum class alarm_level : std::uint8_t { notice, warning, critical };
/// `notice`, `warning`, `critical`.
[[nodiscard]] std::string_view to_string(alarm_level level) noexcept;

/// Whoever sees something fills in the first five; the rest is the desk's.
struct alarm_report {
  std::string name;    ///< stable: `disk-full`, `limit-near`, …
  std::string subject; ///< what it is about: a partition, a group, a limit's key
  alarm_level level = alarm_level::warning;
  std::string detail;       ///< a sentence for people: what is so, or why it is over
  bool raised = true;       ///< false: it is over
  std::string advice{};     ///< a sentence for people: what to do
  wall_time since{};        ///< when it was raised
  wall_time at{};           ///< when this was told
  std::uint64_t number = 0; ///< of this news; counted from 1 by the node's process
};

/// One line of the table of alarms.
struct alarm_kind {
  std::string_view name;
  std::string_view means;  ///< when it is raised, and when it is over
  std::string_view advice; ///< a sentence
  enum class lasts : std::uint8_t {
    while_so, ///< it stands until whoever raised it takes it back
    event     ///< over as soon as it was told; such ones of one subject are counted together
  } how = lasts::while_so;
};

/// Every alarm of a node.
[[nodiscard]] std::span<const alarm_kind> alarm_kinds();
/// Null when there is none of that name.
[[nodiscard]] const alarm_kind* find_alarm_kind(std::string_view name);

} // namespace waybill
