// The facts of a cluster as the coordinator keeps them: topics, and who leads which partition;
// their keys and their text (JSON, so that a person can read them where they lie). Source:
// docs/design.md, section 4.
#pragma once

#include "storage/error.hpp"
#include "storage/records.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace waybill {

/// Key: `topics/NAME`.
struct topic_record {
  topic_id id;
  std::uint32_t partitions = 0;
  wall_time created{};
  bool deleted = false; ///< its copies are being ended; the name is free when the record is gone
  retention_settings retention{};
};

/// A replica by name: its node, its copy, and the process that speaks for it.
struct member_record {
  std::string node;
  copy_id copy;
  process_id process;
  friend bool operator==(const member_record&, const member_record&) = default;
};

/// Key: `partitions/TOPIC-ID/NUMBER`.
struct partition_record {
  epoch current;
  member_record leader;
  std::vector<member_record> in_sync;
  std::vector<std::string> replicas; ///< nodes
  log_position committed;            ///< the highest known committed when this was written
};

inline constexpr std::string_view topic_prefix = "topics/";
[[nodiscard]] std::string topic_key(std::string_view name);
[[nodiscard]] std::string partition_key(partition_id id);
[[nodiscard]] std::string to_text(const topic_record& r);
[[nodiscard]] std::string to_text(const partition_record& r);
/// Both @errors `damaged`: not such a record.
[[nodiscard]] result<topic_record> parse_topic_record(std::string_view text);
[[nodiscard]] result<partition_record> parse_partition_record(std::string_view text);

} // namespace waybill
