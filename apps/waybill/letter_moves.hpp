// Moving a group's dead letters away: those that are named or chosen, in pages, within a rate, with
// progress and a list of what went where. What `dlq redrive` and `dlq purge` share.
#pragma once

#include "apps/waybill/command.hpp"
#include "apps/waybill/letter_choice.hpp"
#include "apps/waybill/letter_id.hpp"
#include "net/client/client.hpp"

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace waybill::cli {

/// `TOPIC` or `TOPIC/PARTITION`.
struct redrive_target {
  std::string topic;
  std::optional<std::uint32_t> partition; ///< none: each by its key
};
[[nodiscard]] std::optional<redrive_target> parse_redrive_target(std::string_view text);

namespace dlq {

struct settings {
  std::string topic, group;
  std::vector<std::string> ids;
  letter_choice choice;
  bool all = false, yes = false, dry_run = false;
  bool again = false, give_up = false; ///< what is in doubt: send it once more, or no more
  std::optional<redrive_target> to;    ///< elsewhere than to the group
  std::optional<std::uint64_t> rate;   ///< messages a second
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
};

/// What became of a page's dead letters.
struct moved_page {
  std::vector<std::pair<message_offset, std::string>> moved; ///< with where to; empty: nowhere
  std::vector<letter_left> left;
};
using mover =
    std::function<moved_page(client&, std::uint32_t partition, std::span<const message_offset>)>;

[[nodiscard]] wall_time now();
/// @throws usage_error
[[nodiscard]] std::vector<letter_id> chosen_ids(const settings& s);
/// Nothing is found of a group that does not exist either: a name that is mistyped is an error.
void must_exist(client& depot, const settings& s);
/// `done_word`: what was done to them, behind "3 dead letters were".
[[nodiscard]] status move_letters(context& c, client& depot, const settings& s, mover how,
                                  std::string done_word);

} // namespace dlq
} // namespace waybill::cli
