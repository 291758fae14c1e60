#include "actors/coordination/cluster_records.hpp"

#include <nlohmann/json.hpp>

namespace waybill {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// Numbers stay numbers of 64 bits in nlohmann's JSON; hashes are text, as people see them
// elsewhere.
json to_json(const member_record& m) {
  return {{"node", m.node}, {"copy", m.copy.value}, {"process", m.process.value}};
}

member_record member_from(const json& from) {
  return {from.at("node").get<std::string>(), copy_id{from.at("copy").get<std::uint64_t>()},
          process_id{from.at("process").get<std::uint64_t>()}};
}

template <class Record, class Read>
result<Record> parse(std::string_view text, const char* what, Read read) {
  try {
    return read(json::parse(text));
  } catch (const json::exception& e) {
    return failure{ec::damaged,
                   std::string{"a "} + what + " in the coordinator cannot be read: " + e.what()};
  }
}

} // namespace

std::string topic_key(std::string_view name) { return std::string{topic_prefix}.append(name); }

std::string partition_key(partition_id id) {
  return "partitions/" + std::to_string(id.topic.value) + "/" + std::to_string(id.number);
}

std::string to_text(const topic_record& r) {
  return json{{"id", r.id.value},
              {"partitions", r.partitions},
              {"created", r.created.time_since_epoch().count()},
              {"deleted", r.deleted},
              {"keep_ms", r.retention.keep.count()},
              {"retain_age_ms", r.retention.age.count()},
              {"retain_bytes", r.retention.bytes}}
      .dump();
}

std::string to_text(const partition_record& r) {
  json in_sync = json::array();
  for (const auto& each : r.in_sync)
    in_sync.push_back(to_json(each));
  return json{{"epoch", r.current.value},
              {"leader", to_json(r.leader)},
              {"in_sync", in_sync},
              {"replicas", r.replicas},
              {"committed",
               {{"index", r.committed.index.value},
                {"epoch", r.committed.written.value},
                {"hash_high", r.committed.hash.high},
                {"hash_low", r.committed.hash.low}}}}
      .dump();
}

result<topic_record> parse_topic_record(std::string_view text) {
  return parse<topic_record>(text, "topic's record", [](const json& from) {
    return topic_record{topic_id{from.at("id").get<std::uint64_t>()},
                        from.at("partitions").get<std::uint32_t>(),
                        wall_time{milliseconds{from.at("created").get<std::int64_t>()}},
                        from.at("deleted").get<bool>(),
                        {milliseconds{from.value("keep_ms", std::int64_t{0})},
                         milliseconds{from.value("retain_age_ms", std::int64_t{0})},
                         from.value("retain_bytes", std::uint64_t{0})}};
  });
}

result<partition_record> parse_partition_record(std::string_view text) {
  return parse<partition_record>(text, "partition's record", [](const json& from) {
    partition_record r;
    r.current = epoch{from.at("epoch").get<std::uint64_t>()};
    r.leader = member_from(from.at("leader"));
    for (const auto& each : from.at("in_sync"))
      r.in_sync.push_back(member_from(each));
    r.replicas = from.at("replicas").get<std::vector<std::string>>();
    const auto& committed = from.at("committed");
    r.committed = {log_index{committed.at("index").get<std::uint64_t>()},
                   epoch{committed.at("epoch").get<std::uint64_t>()},
                   {committed.at("hash_high").get<std::uint64_t>(),
                    committed.at("hash_low").get<std::uint64_t>()}};
    return r;
  });
}

} // namespace waybill
