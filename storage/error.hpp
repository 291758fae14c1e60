// The stable error codes, what each means to people, and the value that carries a failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace waybill {

/// The same numbers as `ErrorCode` in net/waybill.capnp; a number keeps its meaning for ever.
enum class ec : std::uint8_t {
  none = 0,
  not_leader = 1,        ///< look the leader up and repeat
  overloaded = 2,        ///< a queue is full; repeat later
  storage_failed = 3,    ///< what is on the disk is unknown; the node lets go and stops
  stopping = 4,          ///< the node is stopping cleanly
  timed_out = 5,         ///< no answer, in time or at all; the outcome is unknown
  disk_full = 6,         ///< free space is below `storage.disk-free-min`
  partition_offline = 7, ///< no replica can serve it
  unknown_topic = 8,
  topic_exists = 9,
  unknown_group = 10,
  unknown_partition = 11,
  bad_name = 12,
  bad_argument = 13,
  message_too_large = 14,
  batch_too_large = 15,
  malformed_batch = 16,
  limit_reached = 17,    ///< the detail names the limit and its key
  fenced = 18,           ///< somebody else has opened this producer since
  number_reused = 19,    ///< the same batch number with other bytes
  out_of_order = 20,     ///< the batch before it is missing: resend in order
  too_old_to_know = 21,  ///< older than what is remembered: never taken as new
  unknown_producer = 22, ///< not open here (any more): open it again
  lease_lost = 23,       ///< another consumer holds the message by now
  not_allowed = 24,
  damaged = 25,        ///< a checksum or the chain does not match, or an entry is missing
  directory_held = 26, ///< another process uses the data directory
  not_found = 27,
  version_unsupported = 28,
  unreachable = 29,      ///< the client found no server that answers
  internal = 30,         ///< a defect of ours
  rejected = 31,         ///< an interceptor refused the batch for good; the detail has its reason
  extension_failed = 32, ///< an interceptor did not judge the batch; repeat later
  under_way = 33,        ///< the dead letter is on its way to another partition
  in_doubt = 34,         ///< likewise, and nobody knows whether it arrived: a person decides
};

/// `not_leader`, `disk_full`, …: as in the schema and in `--json`.
[[nodiscard]] std::string_view to_string(ec code) noexcept;
/// Whether the same request, sent again later, may succeed.
[[nodiscard]] bool retry_can_help(ec code) noexcept;

/// Programs read `code`; people read `detail`: one sentence of what is wrong, where, what to do.
struct failure {
  ec code = ec::internal;
  std::string detail;
};

/// A value, or why there is none.
template <class T>
class [[nodiscard]] result {
public:
  result(T value) : content_{std::in_place_index<0>, std::move(value)} {}
  result(failure why) : content_{std::in_place_index<1>, std::move(why)} {}
  explicit operator bool() const noexcept { return content_.index() == 0; }
  T& operator*() & { return std::get<0>(content_); }
  const T& operator*() const& { return std::get<0>(content_); }
  T&& operator*() && { return std::get<0>(std::move(content_)); }
  T* operator->() { return &std::get<0>(content_); }
  const T* operator->() const { return &std::get<0>(content_); }
  [[nodiscard]] const failure& error() const { return std::get<1>(content_); }

private:
  std::variant<T, failure> content_;
};

/// Success, or why not.
template <>
class [[nodiscard]] result<void> {
public:
  result() = default;
  result(failure why) : why_{std::move(why)} {}
  explicit operator bool() const noexcept { return !why_; }
  [[nodiscard]] const failure& error() const { return *why_; }

private:
  std::optional<failure> why_;
};

} // namespace waybill
