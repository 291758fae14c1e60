// The bytes of an entry on disk, the hash that chains entries, and the body of a producer's batch.
//
// An entry: a header of 88 bytes, then the body. All integers are little-endian.
//
//   at  bytes  field
//    0      1  mark, always 0x57 ('W')
//    1      1  version of this layout, 1
//    2      1  kind (`entry_kind`)
//    3      1  zero
//    4      4  bytes of the body
//    8      8  topic id
//   16      8  log index
//   24      8  epoch
//   32      8  first offset
//   40      8  stamp, milliseconds since 1970 UTC, signed
//   48      4  partition number
//   52      4  number of messages
//   56     16  chain hash of the entry before: its high 64 bits, then its low 64 bits
//   72     16  chain hash of this entry, alike: XXH3-128 (seed 0) of bytes 0 to 71 and the body
//   88      …  body
//
// The body of a `messages` entry:
//
//    0      8  batch number
//    8      8  number of the batch before
//   16      8  opening of the producer (`producer_epoch`)
//   24      4  bytes of the producer's name
//   28      4  bytes of the batch
//   32      …  the name, padded with zeros to a multiple of 8
//    …      …  the batch
#include "storage/entry.hpp"

#include "storage/assert.hpp"

#define XXH_STATIC_LINKING_ONLY // so that the state has a size, and lies on the stack
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace waybill {
namespace {

static_assert(std::endian::native == std::endian::little, "the bytes on disk are little-endian");

constexpr std::uint8_t entry_mark = 0x57;
constexpr std::uint8_t entry_version = 1;
constexpr std::size_t hash_bytes = 16;
constexpr std::size_t hashed_header_bytes = entry_header_bytes - hash_bytes;
constexpr std::size_t publish_header_bytes = 32;
/// In the field of the name's size, which is 128 at most: the hash of what was sent follows the
/// name.
constexpr std::uint32_t changed_mark = 0x8000'0000;

using header_bytes = std::array<char, entry_header_bytes>;

template <class Integer>
void put(char* at, Integer value) noexcept {
  std::memcpy(at, &value, sizeof value);
}

template <class Integer>
Integer take(const char* at) noexcept {
  Integer value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void put_hash(char* at, const hash128& hash) noexcept {
  put(at, hash.high);
  put(at + 8, hash.low);
}

hash128 take_hash(const char* at) noexcept {
  return {take<std::uint64_t>(at), take<std::uint64_t>(at + 8)};
}

std::uint32_t size32(std::size_t bytes) {
  WAYBILL_ASSERT(bytes <= std::numeric_limits<std::uint32_t>::max()); // limits are far below
  return static_cast<std::uint32_t>(bytes);
}

constexpr std::size_t padded_to_8(std::size_t bytes) noexcept {
  return (bytes + 7) & ~std::size_t{7};
}

header_bytes header_of(const entry& e) {
  header_bytes h{};
  h[0] = static_cast<char>(entry_mark);
  h[1] = static_cast<char>(entry_version);
  h[2] = static_cast<char>(e.kind);
  put(&h[4], size32(e.body.size()));
  put(&h[8], e.partition.topic.value);
  put(&h[16], e.index.value);
  put(&h[24], e.written.value);
  put(&h[32], e.first_offset.value);
  put(&h[40], std::int64_t{e.stamped.time_since_epoch().count()});
  put(&h[48], e.partition.number);
  put(&h[52], e.message_count);
  put_hash(&h[56], e.previous);
  put_hash(&h[72], e.hash);
  return h;
}

/// XXH3-128 of a header's first 72 bytes and the body, without a copy of the body.
hash128 hash_of_parts(const char* header, std::string_view body) {
  XXH3_state_t state; // on the stack: 576 bytes, aligned by its type
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, header, hashed_header_bytes);
  XXH3_128bits_update(&state, body.data(), body.size());
  const auto hash = XXH3_128bits_digest(&state);
  return {hash.high64, hash.low64};
}

bool is_known(entry_kind kind) noexcept {
  return kind >= entry_kind::epoch_start && kind <= entry_kind::transfer;
}

failure damaged(std::string detail) { return {ec::damaged, std::move(detail)}; }

/// How messages about a damaged entry name it. The fields may be damaged themselves.
std::string place_of(const char* header) {
  return "the entry that says it is index " + std::to_string(take<std::uint64_t>(header + 16)) +
         " of partition " + std::to_string(take<std::uint32_t>(header + 48)) + " of topic id " +
         std::to_string(take<std::uint64_t>(header + 8));
}

} // namespace

hash128 chain_hash(const entry& e) { return hash_of_parts(header_of(e).data(), e.body.view()); }

hash128 hash_of(std::string_view bytes) {
  const auto hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

void encode_entry(const entry& e, std::string& out) {
  const auto header = header_of(e);
  const auto body = e.body.view();
  // Checked before the write as well as after the read: bytes that changed in memory stop here.
  WAYBILL_ASSERT(e.hash == hash_of_parts(header.data(), body));
  out.reserve(out.size() + header.size() + body.size());
  out.append(header.data(), header.size());
  out.append(body);
}

result<entry> decode_entry(std::string_view bytes) {
  if (bytes.size() < entry_header_bytes)
    return damaged("an entry of " + std::to_string(bytes.size()) +
                   " bytes is shorter than its header of " + std::to_string(entry_header_bytes));
  const char* h = bytes.data();
  if (take<std::uint8_t>(h) != entry_mark)
    return damaged("these bytes are no entry: they do not begin with its mark");
  if (take<std::uint8_t>(h + 1) != entry_version)
    return damaged("an entry has version " + std::to_string(take<std::uint8_t>(h + 1)) +
                   " of the layout, and only version 1 is known here");
  const auto body = bytes.substr(entry_header_bytes);
  if (take<std::uint32_t>(h + 4) != body.size())
    return damaged(place_of(h) + " should have a body of " +
                   std::to_string(take<std::uint32_t>(h + 4)) + " bytes and has one of " +
                   std::to_string(body.size()));
  entry e;
  e.hash = take_hash(h + 72);
  if (e.hash != hash_of_parts(h, body))
    return damaged(place_of(h) + " does not match its hash " + to_string(e.hash));
  e.kind = static_cast<entry_kind>(take<std::uint8_t>(h + 2));
  if (!is_known(e.kind) || take<std::uint8_t>(h + 3) != 0) // intact, so of a newer version
    return damaged(place_of(h) + " has kind " + std::to_string(take<std::uint8_t>(h + 2)) +
                   ", which is not known here");
  e.partition = {topic_id{take<std::uint64_t>(h + 8)}, take<std::uint32_t>(h + 48)};
  e.index = log_index{take<std::uint64_t>(h + 16)};
  e.written = epoch{take<std::uint64_t>(h + 24)};
  e.first_offset = message_offset{take<std::uint64_t>(h + 32)};
  e.stamped = wall_time{std::chrono::milliseconds{take<std::int64_t>(h + 40)}};
  e.message_count = take<std::uint32_t>(h + 52);
  e.previous = take_hash(h + 56);
  e.body = shared_bytes{std::string{body}};
  return e;
}

shared_bytes encode_publish_body(const publish_body& b) {
  const auto hash_at = publish_header_bytes + padded_to_8(b.producer.size());
  const auto batch_at = hash_at + (b.sent ? hash_bytes : 0);
  std::string out;
  out.reserve(batch_at + b.batch.size());
  out.resize(publish_header_bytes);
  put(&out[0], b.number.value);
  put(&out[8], b.previous.value);
  put(&out[16], b.opened.value);
  put(&out[24], size32(b.producer.size()) | (b.sent ? changed_mark : 0));
  put(&out[28], size32(b.batch.size()));
  out.append(b.producer);
  out.resize(batch_at);
  if (b.sent) {
    put(&out[hash_at], b.sent->high);
    put(&out[hash_at + 8], b.sent->low);
  }
  out.append(b.batch);
  return shared_bytes{std::move(out)};
}

result<publish_body> decode_publish_body(std::string_view body) {
  if (body.size() < publish_header_bytes)
    return damaged("the body of a batch, of " + std::to_string(body.size()) +
                   " bytes, is shorter than its header of " + std::to_string(publish_header_bytes));
  const char* h = body.data();
  const auto marked = take<std::uint32_t>(h + 24);
  const bool changed = (marked & changed_mark) != 0;
  const std::size_t name_bytes = marked & ~changed_mark;
  const std::size_t batch_bytes = take<std::uint32_t>(h + 28);
  const auto hash_at = publish_header_bytes + padded_to_8(name_bytes);
  const auto batch_at = hash_at + (changed ? hash_bytes : 0);
  if (batch_at + batch_bytes != body.size())
    return damaged("the body of a batch should have " + std::to_string(batch_at + batch_bytes) +
                   " bytes and has " + std::to_string(body.size()));
  const auto padding =
      body.substr(publish_header_bytes + name_bytes, hash_at - publish_header_bytes - name_bytes);
  if (std::ranges::any_of(padding, [](char c) { return c != '\0'; }))
    return damaged("the body of a batch has other bytes than zeros after the producer's name");
  publish_body b;
  b.number = batch_number{take<std::uint64_t>(h)};
  b.previous = batch_number{take<std::uint64_t>(h + 8)};
  b.opened = producer_epoch{take<std::uint64_t>(h + 16)};
  b.producer = body.substr(publish_header_bytes, name_bytes);
  b.batch = body.substr(batch_at);
  if (changed)
    b.sent = hash128{take<std::uint64_t>(h + hash_at), take<std::uint64_t>(h + hash_at + 8)};
  return b;
}

hash128 hash_as_sent(const publish_body& b) { return b.sent ? *b.sent : hash_of(b.batch); }

} // namespace waybill
