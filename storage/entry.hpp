// One element of a partition's log, its bytes on disk, and the chain of hashes through them.
// Layout: docs/format.md. Source: docs/design.md, sections 4 and 5.
#pragma once

#include "storage/error.hpp"
#include "storage/types.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace waybill {

/// What an entry does to the partition's state; numbers are on disk and keep their meaning.
enum class entry_kind : std::uint8_t {
  epoch_start = 1, ///< a leader's first; empty body. Committing it commits all before it
  messages = 2,    ///< a producer's batch: `publish_body`
  delivery = 3,    ///< acks, attempts, dead letters: `delivery_record`
  group = 4,       ///< a group created, changed or deleted: `group_record`
  producer = 5,    ///< a producer opened, older holders fenced: `producer_record`
  redrive = 6,     ///< dead letters sent back to their group, or purged: `redrive_record`
  retention = 7,   ///< what goes unread, what stays when it is settled: `retention_record`
  transfer = 8,    ///< dead letters on their way to another partition: `transfer_record`
};

struct entry {
  partition_id partition;
  log_index index;
  epoch written;
  entry_kind kind = entry_kind::epoch_start;
  message_offset first_offset;     ///< of its first message; without messages: the next offset
  std::uint32_t message_count = 0; ///< 0 but for `messages` and for a redrive that sends back
  wall_time stamped{};             ///< the leader's clock, never falling within a log
  hash128 previous;                ///< the chain at index - 1; zero before the first
  hash128 hash;                    ///< of all the fields above and the body: see `chain_hash`
  shared_bytes body;
};

/// Bytes of an entry on disk before its body.
inline constexpr std::size_t entry_header_bytes = 88;

[[nodiscard]] inline log_position position_of(const entry& e) {
  return {e.index, e.written, e.hash};
}
[[nodiscard]] inline offset_range offsets_of(const entry& e) {
  return {e.first_offset, message_offset{e.first_offset.value + e.message_count}};
}
/// XXH3-128 of the header without its last 16 bytes, then the body. The chain hash of the entry
/// before is part of the header, so one hash proves the entry and all before it, and is its
/// checksum.
[[nodiscard]] hash128 chain_hash(const entry& e);
/// XXH3-128 of any bytes (a batch's, for de-duplication).
[[nodiscard]] hash128 hash_of(std::string_view bytes);
/// Appends the header and the body to `out`.
void encode_entry(const entry& e, std::string& out);
/// @errors `damaged`: too short, an unknown version, sizes that disagree, or a hash that does not
/// match; the detail says which
[[nodiscard]] result<entry> decode_entry(std::string_view bytes);

/// The body of a `messages` entry: who sent the batch, and the batch as it came.
struct publish_body {
  std::string producer;
  producer_epoch opened; ///< which opening of the producer sent it
  batch_number number;
  batch_number previous;
  std::string_view
      batch; ///< a serialised `Batch` of storage/format.capnp; 8-byte aligned in the body
  /// Of the batch that the producer sent, where an interceptor has changed it: by this, repeats are
  /// known.
  std::optional<hash128> sent{};
};
/// By which a repeat of the batch is known.
[[nodiscard]] hash128 hash_as_sent(const publish_body& b);
/// The body's bytes: header, name padded to 8 bytes, batch.
[[nodiscard]] shared_bytes encode_publish_body(const publish_body& b);
/// `batch` of the answer points into `body`. @errors `damaged`
[[nodiscard]] result<publish_body> decode_publish_body(std::string_view body);

} // namespace waybill
