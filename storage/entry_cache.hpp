// The newest message entries of all partitions, in memory: what delivery reads without asking the
// disk. Source: docs/design.md, section 5 ("The hot tail").
#pragma once

#include "storage/entry.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace waybill {

/// An entry with messages, and what its partition's leader has found out about it.
struct cached_entry {
  entry content;
  shared_bytes batch; ///< as it came, perhaps compressed; inside the entry's body where it can be
  std::vector<std::uint32_t>
      sizes; ///< bytes of each message; filled by the leader when it first delivers
  std::vector<std::uint64_t> keys; ///< numbers of their keys; likewise, for an ordered group
};
using cached_entry_ptr = std::shared_ptr<cached_entry>;

/// Bytes that it keeps in memory: its body, and a size and a key for each message, which a
/// compressed batch may have very many of.
[[nodiscard]] std::uint64_t bytes_held_by(const cached_entry& what);

/// The batch of an entry of kind `messages`, or of a redrive that sends back. @errors `damaged`
[[nodiscard]] result<cached_entry_ptr> make_cached_entry(const entry& e);

/// At most `bytes_max` of what entries hold; the oldest to come goes first. Any thread.
class entry_cache {
public:
  explicit entry_cache(std::uint64_t bytes_max) : bytes_max_{bytes_max} {}
  void put(const cached_entry_ptr& what);
  /// The entry with this message; null when it is not here.
  [[nodiscard]] cached_entry_ptr find(partition_id partition, message_offset offset) const;
  /// Forgets a partition's: its log may be another from here on.
  void forget(partition_id partition);
  [[nodiscard]] std::uint64_t bytes() const;

private:
  using place = std::pair<partition_id, message_offset>; ///< by first offset
  void evict_over(std::uint64_t bytes_max);
  const std::uint64_t bytes_max_;
  mutable std::mutex guard_;
  std::map<place, cached_entry_ptr> entries_;
  std::deque<std::pair<place, cached_entry_ptr>> by_age_; ///< some may have been forgotten since
  std::uint64_t bytes_ = 0;
};

} // namespace waybill
