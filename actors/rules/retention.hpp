// What a topic's retention asks of one partition: what goes although a group has not read it, and
// what stays although every group has settled it. Pure. Source: docs/design.md, section 6.
//
// Where a message lies is known by marks: at such an offset, so many bytes were published before,
// the last of them then. They are few however long the log is, and boundaries lie at marks: what
// goes, goes up to a hundredth or so of what the marks span later than asked, and never earlier.
#pragma once

#include "storage/entry.hpp"
#include "storage/records.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace waybill {

/// @returns what is wrong with them, as a sentence; none: nothing
[[nodiscard]] std::optional<std::string> objection_to(const retention_settings& settings);

class retention {
public:
  static constexpr std::size_t marks_max = 256;
  static constexpr std::uint64_t spacing_bytes_min = 1 << 20;
  static constexpr milliseconds spacing_time_min{1'000};

  explicit retention(const partition_snapshot& from);

  /// An entry with messages was committed. @pre it follows the one before
  void arrived(const entry& e);
  /// Nothing before is needed any more: marks there are of no use.
  void trim(message_offset first_needed);
  /// Fills published and marks of a snapshot.
  void snapshot(partition_snapshot& into) const;

  struct outlook {
    /// What lies before goes at one of the next looks, or has gone: whoever has not read it must be
    /// told now.
    message_offset endangered_below;
    /// To be committed; none: nothing changes.
    std::optional<retention_record> change;
  };
  /// Nothing goes at the first look that finds it endangered: people are told first. `kept_from`:
  /// as the partition has it now.
  [[nodiscard]] outlook look(const retention_settings& settings,
                             std::optional<message_offset> kept_from, wall_time now);

  /// What the last look found endangered, and may go at the next.
  [[nodiscard]] message_offset warned_below() const noexcept { return warned_below_; }
  /// The settings are others: what has not gone yet does not go before a further look has found it
  /// endangered.
  void forget_warning() noexcept { warned_below_ = dropped_below_; }

private:
  using mark = retention_mark;
  [[nodiscard]] message_offset beyond(milliseconds age, std::uint64_t bytes, wall_time now) const;
  [[nodiscard]] bool is_apart(const mark& from, const mark& to) const;
  void thin_out();

  mark published_;                              ///< the log's end
  std::vector<mark> marks_;                     ///< ascending
  std::uint32_t doublings_ = 0;                 ///< of the least distance between marks
  message_offset warned_below_, dropped_below_; ///< this leader's
};

} // namespace waybill
