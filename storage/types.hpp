// The nouns that every part of Waybill shares: numbers with one meaning, names, positions,
// receipts. Plain values: no I/O, no clock, no library of others. Source: docs/design.md,
// section 1.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace waybill {

/// An integer with one meaning: explicit to make and to read; ordered; in messages, its integer.
template <class Tag>
struct tagged {
  std::uint64_t value = 0;
  friend auto operator<=>(const tagged&, const tagged&) = default;
  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, tagged& x) {
    return f(x.value);
  }
};

using log_index = tagged<struct log_index_tag>;       ///< 1: a partition's first entry; 0: none yet
using epoch = tagged<struct epoch_tag>;               ///< 1: the first leadership; 0: none yet
using message_offset = tagged<struct offset_tag>;     ///< 0: a partition's first message
using topic_id = tagged<struct topic_id_tag>;         ///< random, drawn when a topic is created
using copy_id = tagged<struct copy_id_tag>;           ///< random, drawn when a replica is begun
using process_id = tagged<struct process_id_tag>;     ///< random, drawn when a node starts
using producer_epoch = tagged<struct fence_tag>;      ///< grows each time a producer is opened
using batch_number = tagged<struct batch_number_tag>; ///< a producer's own; 0: none before it
using consumer_id = tagged<struct consumer_id_tag>;   ///< one subscription of one process of ours

/// Of one producer in one partition: the batch with the highest number that was taken.
struct last_batch {
  batch_number number;        ///< 0: none was
  std::uint32_t messages = 0; ///< in it; 0: not known
  bool is_known = true;       ///< false: the partition is out of service, and nobody can tell
  friend bool operator==(const last_batch&, const last_batch&) = default;
};

/// One partition of one topic; the topic by id, so that a name used again is another partition.
struct partition_id {
  topic_id topic;
  std::uint32_t number = 0; ///< 0 .. partitions - 1
  friend auto operator<=>(const partition_id&, const partition_id&) = default;
  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, partition_id& x) {
    return f(x.topic, x.number);
  }
};

/// 128 bits of XXH3: of an entry and all before it (the chain), or of a batch's bytes.
struct hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const hash128&, const hash128&) = default;
  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, hash128& x) {
    return f(x.high, x.low);
  }
};

/// Where a log stands: an entry's index, the epoch it was written in, and the chain's hash there.
struct log_position {
  log_index index;
  epoch written;
  hash128 hash;
  friend auto operator<=>(const log_position&, const log_position&) = default;
  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, log_position& x) {
    return f(x.index, x.written, x.hash);
  }
};

/// Wall-clock time, milliseconds since 1970 UTC. Only a leader stamps it; it never falls in a log.
using wall_time = std::chrono::sys_time<std::chrono::milliseconds>;

/// Messages [first, end): half open, empty when equal.
struct offset_range {
  message_offset first;
  message_offset end;
  friend auto operator<=>(const offset_range&, const offset_range&) = default;
  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, offset_range& x) {
    return f(x.first, x.end);
  }
};

/// The offset behind this one, and the range of this one alone.
[[nodiscard]] constexpr message_offset after(message_offset offset) { return {offset.value + 1}; }
[[nodiscard]] constexpr offset_range just(message_offset offset) { return {offset, after(offset)}; }

/// Log entries [first, last]: both ends belong to it.
struct index_range {
  log_index first;
  log_index last;
  friend auto operator<=>(const index_range&, const index_range&) = default;
};

/// What a producer holds once its message is committed.
/// As text: `topic/partition/offset@epoch.index.hash`, the hash as 32 lower-case hex digits.
struct receipt {
  std::string topic;
  std::uint32_t partition = 0;
  message_offset offset;
  log_position entry; ///< the entry that the message lies in
  friend bool operator==(const receipt&, const receipt&) = default;
};

/// `topic/partition/offset`.
[[nodiscard]] std::string message_id(std::string_view topic, std::uint32_t partition,
                                     message_offset offset);
[[nodiscard]] std::string to_string(const hash128& hash);
[[nodiscard]] std::string to_string(const receipt& value);
/// `topic#number`: how a partition is named to people.
[[nodiscard]] std::string partition_name(std::string_view topic, std::uint32_t number);
/// Nothing when the text is not a whole receipt.
[[nodiscard]] std::optional<receipt> parse_receipt(std::string_view text);
/// A topic's, group's or producer's name: 1 to 128 of `a-z A-Z 0-9 . _ -`, not beginning with a
/// dot.
[[nodiscard]] bool is_valid_name(std::string_view name) noexcept;
/// Which partition a key belongs to: FNV-1a, 64 bit, of the key's bytes, modulo the partitions.
/// Clients in every language use this one, so that a key stays where it is.
[[nodiscard]] std::uint32_t partition_of_key(std::string_view key,
                                             std::uint32_t partitions) noexcept;

/// Bytes that are written once and then shared between actors without a copy.
class shared_bytes {
public:
  shared_bytes() = default;
  explicit shared_bytes(std::string bytes)
      : owner_{std::make_shared<const std::string>(std::move(bytes))}, view_{*owner_} {}
  [[nodiscard]] std::string_view view() const noexcept { return view_; }
  [[nodiscard]] std::size_t size() const noexcept { return view_.size(); }
  /// A part of these bytes, which stay alive with it. @pre `part` lies inside `view()`
  [[nodiscard]] shared_bytes slice(std::string_view part) const {
    shared_bytes result{*this};
    result.view_ = part;
    return result;
  }
  friend bool operator==(const shared_bytes& a, const shared_bytes& b) {
    return a.view() == b.view();
  }

private:
  std::shared_ptr<const std::string> owner_;
  std::string_view view_;
};

} // namespace waybill
