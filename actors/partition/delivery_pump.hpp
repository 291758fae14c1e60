// Turns orders of the delivery rules into chunks of messages: finds entries in memory, says which
// must be read, cuts batches of which only a part goes out. Source: docs/design.md, section 5 ("The
// hot tail").
#pragma once

#include "actors/messages.hpp"
#include "storage/entry_cache.hpp"
#include "storage/plain_batches.hpp"

#include <deque>
#include <map>

namespace waybill {

class delivery_pump {
public:
  /// Both are the node's, and outlive the pump.
  delivery_pump(partition_id partition, entry_cache& cache, plain_batches& plain)
      : partition_{partition}, cache_{cache}, plain_{plain} {}

  /// Entries that were just read from the disk: kept here, beside the cache of new ones, so that
  /// who lags does not push out what the others are about to get. The oldest go first beyond 4 MiB,
  /// and of one reading so much at most is kept, its first entry in any case.
  void keep_ahead(const std::vector<cached_entry_ptr>& read);
  /// The end of a round: forgets what was looked up in it.
  void let_go();
  /// Bytes of a message, as it counts against credit; none: it must be read.
  [[nodiscard]] std::optional<std::uint32_t> size_of(message_offset offset);
  /// A number for its key, 0 without one; likewise.
  [[nodiscard]] std::optional<std::uint64_t> key_of(message_offset offset);
  /// The whole message, as bytes of a `Message`, and when it was published; none: it must be read.
  struct whole_message {
    std::string bytes;
    wall_time published{};
  };
  [[nodiscard]] std::optional<whole_message> message_at(message_offset offset);
  /// What goes to whom. @pre `size_of` answered for each of them since the last `let_go`
  [[nodiscard]] std::map<consumer_id, chunks> pack(const std::vector<delivery_order>& orders);

private:
  [[nodiscard]] cached_entry_ptr find(message_offset offset);
  [[nodiscard]] cached_entry_ptr find_ahead(message_offset offset) const;
  /// The batch so that its messages can be read.
  [[nodiscard]] shared_bytes plain_of(const cached_entry& what) const;
  void fill_sizes(cached_entry& what) const;
  [[nodiscard]] chunk make_chunk(const cached_entry& from,
                                 const std::vector<const delivery_order*>& orders) const;
  partition_id partition_;
  entry_cache& cache_;
  plain_batches& plain_;
  std::map<message_offset, cached_entry_ptr> held_; ///< of this round, by first offset
  std::deque<cached_entry_ptr> ahead_;
  std::uint64_t ahead_bytes_ = 0;
};

} // namespace waybill
