// What a leader may commit, and what a follower may append and drop: the rules of replication.
// Pure. Source: docs/design.md, section 4. A single node is the case of one member.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <variant>
#include <vector>

namespace waybill {

/// A replica by name: the node's name, hashed, and the copy's.
struct replica_name {
  std::uint64_t node = 0;
  copy_id copy;
  friend auto operator<=>(const replica_name&, const replica_name&) = default;
};

/// The leader's commit rule within one epoch, for a fixed recorded set (rule 4 of section 4;
/// changes of the set come with the cluster). Invariants: `committed()` never goes back; it never
/// passes what every counted member has on disk; nothing commits while the set is smaller than
/// `min_in_sync`; an entry of an earlier epoch commits only with one of this epoch behind it.
class commit_rule {
public:
  struct options {
    std::size_t min_in_sync = 1;
    epoch leading;
    replica_name self;
    std::vector<replica_name> in_sync; ///< contains `self`
    log_index start; ///< index of this epoch's start entry: nothing commits before it is on disk
    log_index committed; ///< known committed when the epoch began (a checkpoint's, or 0)
  };
  explicit commit_rule(options o);
  /// The leader put an entry into its log. Indexes are consecutive from `start` on.
  void appended(const log_position& at);
  /// The leader's own sync covers its log up to here. @returns whether the commit index moved
  [[nodiscard]] bool stored(log_index up_to);
  /// A member answered in epoch `in`: up to `at` on its disk. Strangers, other epochs, overtaken
  /// answers, and a hash that the leader does not have at that index change nothing.
  [[nodiscard]] bool stored(const replica_name& who, epoch in, const log_position& at);
  [[nodiscard]] log_index committed() const noexcept { return committed_; }

private:
  [[nodiscard]] bool advance();
  [[nodiscard]] log_index last() const; ///< of the leader's log, as far as it was told
  options options_;
  std::uint64_t appended_ = 0; ///< entries of this epoch
  std::map<replica_name, log_index> on_disk_;
  std::map<log_index, hash128> uncommitted_; ///< hashes of entries above the commit index
  log_index committed_;
};

/// What a follower does with a `replicate` message.
struct refuse_epoch {
  epoch promised;
}; ///< the sender leads no more
struct ask_earlier {
  log_position end;
}; ///< `previous` does not match: this is where my log ends
struct accept_entries {
  std::optional<log_index> drop_after; ///< truncate to here first; never below what is committed
  std::size_t skip = 0;                ///< leading entries that are already there, equal
  log_position last; ///< of the message, or `previous` when it is empty: the answer once synced
};
using follower_verdict = std::variant<refuse_epoch, ask_earlier, accept_entries>;

/// Log matching (section 4, "Follower"): compares entry by entry, drops only from the first
/// difference. `at(index)`: the position of the follower's entry at an index, none beyond its end;
/// index 0 is the empty log's position. @pre the epoch was promised on disk before entries are
/// appended; `entries` are consecutive from `previous` on, of epochs that do not fall nor pass
/// `sender`: whoever decodes a message checks that, and the chain, first
[[nodiscard]] follower_verdict
match_entries(epoch promised, epoch sender, const log_position& previous,
              std::span<const log_position> entries, const log_position& own_end,
              log_index own_committed,
              const std::function<std::optional<log_position>(log_index)>& at);

} // namespace waybill
