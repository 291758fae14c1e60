// Batches: what a producer gathers and sends as one entry of the log, and how the bytes of
// storage/format.capnp are written and read.
#pragma once

#include "net/client/core.hpp"
#include "storage/compression.hpp"

#include <capnp/message.h>
#include <kj/array.h>

#include <functional>
#include <string>
#include <vector>

namespace waybill::client_parts {

using message_done = std::function<void(result<receipt>, outgoing_message)>;
using batch_done = std::function<void(result<std::vector<receipt>>)>;

struct pending_message {
  outgoing_message message;
  message_done done; ///< may be empty
};

/// One batch on its way. Filled under the producer's lock until it is sealed; from then on the
/// loop's.
struct outgoing_batch {
  std::uint32_t partition = 0;
  std::vector<pending_message> messages;
  batch_done done;               ///< of a batch that the caller numbered
  bool is_numbered = false;      ///< by the caller
  std::size_t message_bytes = 0; ///< key, headers, body: counted against `waiting_bytes_max`
  std::size_t words = 0;         ///< of the serialised batch
  steady_time accepted{};        ///< of its first message: the delivery time-out runs from here
  std::uint64_t round = 0;       ///< of `flush`

  batch_number number; ///< given at the first send (or by the caller), and for ever
  batch_number previous;
  bool was_sent = false;
  std::uint32_t sends = 0;     ///< all of them
  std::uint32_t open_ends = 0; ///< sends that the node has not surely turned down: it may be taken
  std::uint32_t attempts = 0;  ///< those that count, by the retry policy
  std::uint64_t current_send = 0; ///< the one whose error counts; 0: none is under way
  steady_time sent_at{};
  bool is_settled = false;
  failure last_error{ec::none, {}};
  kj::Array<const kj::byte> encoded; ///< from the first send on: a repeat has the same bytes
};

/// Key, headers and body together: what the node's `messageBytesMax` bounds.
[[nodiscard]] std::size_t bytes_of(const outgoing_message& m);
/// Words that `m` adds to a serialised batch, and those of an empty batch.
[[nodiscard]] std::size_t words_of(const outgoing_message& m);
/// Segment table, root, two pointers to lists, the tag of the messages' list.
inline constexpr std::size_t empty_batch_words = 5;
/// The batch as one flat array of one segment. `words`: the sum of the above.
[[nodiscard]] kj::Array<capnp::word> encode_batch(const std::vector<pending_message>& messages,
                                                  std::size_t words);

/// The bytes to send: the batch, compressed if that makes it smaller.
/// @param with none: it goes plain
[[nodiscard]] kj::Array<const kj::byte> pack_batch(kj::Array<capnp::word> batch,
                                                   batch_compressor* with);

/// A message read from a delivered batch.
struct read_message {
  std::string key;
  headers content_headers;
  std::string body;
};
/// The messages at `positions` of a batch that may be compressed, each a copy.
/// @errors `malformed_batch`: not a Batch, or a position that is none of it; `batch_too_large`: it
/// would be larger, decompressed, than any that a node takes
[[nodiscard]] result<std::vector<read_message>>
read_batch(kj::ArrayPtr<const kj::byte> batch, const std::vector<std::uint32_t>& positions);
/// A serialised Message. @errors `malformed_batch`
[[nodiscard]] result<read_message> read_single(kj::ArrayPtr<const kj::byte> bytes);

} // namespace waybill::client_parts
