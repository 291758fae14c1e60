// The bytes of the records: Cap'n Proto, storage/format.capnp. Bad bytes are a value, never a
// crash.
#pragma once

#include "storage/error.hpp"
#include "storage/records.hpp"

#include <map>
#include <optional>

namespace waybill {

[[nodiscard]] std::string encode(const delivery_record& r);
[[nodiscard]] std::string encode(const group_record& r);
[[nodiscard]] std::string encode(const producer_record& r);
[[nodiscard]] std::string encode(const redrive_record& r);
[[nodiscard]] std::string encode(const retention_record& r);
[[nodiscard]] std::string encode(const transfer_record& r);
[[nodiscard]] std::string encode(const partition_snapshot& r);
[[nodiscard]] std::string encode(const dead_letter& r);
/// All @errors `damaged`: not the bytes of such a record.
[[nodiscard]] result<delivery_record> decode_delivery_record(std::string_view bytes);
[[nodiscard]] result<group_record> decode_group_record(std::string_view bytes);
[[nodiscard]] result<producer_record> decode_producer_record(std::string_view bytes);
[[nodiscard]] result<redrive_record> decode_redrive_record(std::string_view bytes);
[[nodiscard]] result<retention_record> decode_retention_record(std::string_view bytes);
[[nodiscard]] result<transfer_record> decode_transfer_record(std::string_view bytes);
[[nodiscard]] result<partition_snapshot> decode_partition_snapshot(std::string_view bytes);
[[nodiscard]] result<dead_letter> decode_dead_letter(std::string_view bytes);

/// One message of a batch, with views into the batch's bytes.
struct message_view {
  std::string_view key;
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::string_view body;
};
struct batch_limits {
  std::size_t messages_max = 0;
  std::size_t message_bytes_max = 0; ///< key, headers and body together
};
/// Times that are asked for with a message: of each pair one at most, spans from the entry's stamp
/// on.
struct asked_times {
  std::optional<wall_time> deliver_at;
  std::optional<milliseconds> delay;
  std::optional<wall_time> expires;
  std::optional<milliseconds> time_to_live;
};
/// What is wrong with them, to stand behind "the message has"; none: nothing.
[[nodiscard]] std::optional<std::string> objection_to(const asked_times& times);
struct checked_batch {
  std::uint32_t messages = 0;
  std::uint32_t timed = 0; ///< of them: with a time before which, or from which on, not to deliver
};
/// What a batch holds, after a walk through all of it.
/// @errors `malformed_batch` (not a Batch, no message, or a bad pointer), `limit_reached` (too many
/// messages), `message_too_large`, `bad_argument` (times); the detail names the message's place
[[nodiscard]] result<checked_batch> check_batch(std::string_view batch, const batch_limits& limits);
/// The times of a checked batch's messages, by offset, as they are for an entry that was stamped
/// so. @errors `damaged`
[[nodiscard]] result<timed_messages> times_of(std::string_view batch, message_offset first,
                                              wall_time stamped);
/// Every message of a batch that was checked. The views point into `batch`. @errors `damaged`
[[nodiscard]] result<std::vector<message_view>> read_batch(std::string_view batch);
/// A serialised `Message`, likewise. @errors `damaged`
[[nodiscard]] result<message_view> read_message(std::string_view message);
/// A batch of the messages at `positions` (ascending) of `batch` alone, in that order.
/// @errors `damaged`
[[nodiscard]] result<std::string> cut_batch(std::string_view batch,
                                            const std::vector<std::uint32_t>& positions);
/// The message at `position` as a serialised `Message`. @errors `damaged`
[[nodiscard]] result<std::string> extract_message(std::string_view batch, std::uint32_t position);
/// A batch of serialised `Message`s; to the i-th, the headers of `added[i]` are added (a header of
/// the same name is replaced). @errors `damaged`
[[nodiscard]] result<std::string>
join_messages(const std::vector<std::string>& messages,
              const std::vector<std::vector<std::pair<std::string, std::string>>>& added);
/// The batch with other headers for the messages at some places; all else stays as it is, times
/// too.
/// @errors `damaged`, `bad_argument`: it has no message at such a place
[[nodiscard]] result<std::string>
with_headers(std::string_view batch,
             const std::map<std::uint32_t, std::vector<std::pair<std::string, std::string>>>& to);
/// A number for each message's key: a hash of its bytes; 0: it has none. @errors `damaged`
[[nodiscard]] result<std::vector<std::uint64_t>> message_keys(std::string_view batch);
/// Bytes of key, headers and body of each message in the batch. @errors `damaged`
[[nodiscard]] result<std::vector<std::uint32_t>> message_sizes(std::string_view batch);

} // namespace waybill
