// What a leader must have committed and has not proposed yet: changes of all groups, gathered into
// records of bounded size, in order. Pure. Source: docs/design.md, section 6.
#pragma once

#include "actors/rules/delivery.hpp"
#include "actors/rules/offset_set.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace waybill {

/// A group goes on from `target`: what was to become of messages before it is over.
/// Acknowledgements stay; they change nothing any more. `Changes`: as `group_changes`.
template <class Changes>
void forget_below(Changes& changes, message_offset target) {
  const auto is_over = [target](const auto& what) { return what.offset < target; };
  std::erase_if(changes.started, is_over);
  std::erase_if(changes.failed, is_over);
  std::erase_if(changes.dead, is_over);
}

/// Each change answers the number of the proposal it will be part of. Numbers come out of `next` in
/// order and without a gap.
class gathering {
public:
  proposal_number ack(std::string_view group, offset_range range);
  proposal_number start(std::string_view group, const attempt_started& what);
  proposal_number fail(std::string_view group, attempt_failed what);
  /// `message_bytes`: what the letter's message will add to the record
  proposal_number bury(std::string_view group, dead_letter what, std::uint64_t message_bytes);
  /// The group is gone: nothing gathered for it may reach a later one of the same name. A number
  /// that was given out still comes, if need be with an empty record.
  void forget(std::string_view group);
  /// As the function of that name, in all that is gathered for the group.
  void forget_below(std::string_view group, message_offset target);
  /// The oldest record, which is then closed; none: nothing is gathered.
  [[nodiscard]] std::optional<proposal> next();

private:
  struct changes {
    offset_set acked;
    std::vector<attempt_started> started;
    std::vector<attempt_failed> failed;
    std::vector<dead_letter> dead;
  };
  struct record {
    std::map<std::string, changes, std::less<>> groups;
    std::uint64_t bytes = 0; ///< about: what it will take in the log
  };
  changes& room_for(std::string_view group, std::uint64_t bytes);
  [[nodiscard]] proposal_number last() const;
  std::deque<record> records_;
  proposal_number first_{1}; ///< of the first record
};

} // namespace waybill
