// See row.hpp.
#include "apps/waybill/bench/row.hpp"

#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <cmath>

namespace waybill::cli::bench {

namespace {

double rounded(double number, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(number * scale) / scale;
}

json rounded(std::optional<double> number, int digits) {
  return number ? json(rounded(*number, digits)) : json();
}

double per_second(const row& r) {
  return static_cast<double>(r.messages) / std::max(r.spent.seconds, 1e-9);
}
double megabytes_per_second(const row& r) {
  return per_second(r) * static_cast<double>(r.what.size) / 1e6;
}
double in_ms(histogram::span span) { return static_cast<double>(span.count()) / 1e6; }
double in_mb(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// For each message; nothing without messages.
std::optional<double> share(double whole, const row& r) {
  if (r.messages == 0)
    return std::nullopt;
  return whole / static_cast<double>(r.messages);
}
std::optional<double> server_us(const row& r) { return share(r.spent.server * 1e6, r); }
std::optional<double> syncs_each(const row& r) {
  return share(static_cast<double>(r.spent.syncs), r);
}

/// How much of the disk's speed in writes of 256 KiB the bodies reach.
std::optional<double> of_large_floor(const row& r) {
  if (r.floors.empty())
    return std::nullopt;
  return share_of_floor(megabytes_per_second(r), r.floors.back().megabytes_per_second);
}

/// How many times the median of a write of 1 KiB the median is.
std::optional<double> times_small_floor(const row& r) {
  if (r.floors.empty() || r.latency.count() == 0)
    return std::nullopt;
  const auto part =
      share_of_floor(in_ms(r.floors.front().median), in_ms(r.latency.percentile(0.5)));
  return part && *part > 0 ? std::optional{1 / *part} : std::nullopt;
}

bool is_about_latency(const row& r) {
  return r.what.what == workload::latency || r.what.what == workload::paced;
}

const char* latency_of(const row& r) { return r.delivered ? "to delivery" : "to confirm"; }

} // namespace

json row_json(const row& r, const std::string& version) {
  const auto p = [&](double part) { return rounded(in_ms(r.latency.percentile(part)), 3); };
  json j{{"peer", "waybill"},
         {"version", version},
         {"nodes", 1},
         {"durability",
          "a receipt means: the message is in the journal, and fdatasync has returned "
          "(one for all that waited)"},
         {"fsync_before_confirm", true},
         {"workload", row_name(r.what)},
         {"message_bytes", r.what.size},
         {"messages", r.messages},
         {"seconds", rounded(r.spent.seconds, 3)},
         {"msgs_per_s", rounded(per_second(r), 1)},
         {"mb_per_s", rounded(megabytes_per_second(r), 2)},
         {"p50_ms", p(0.5)},
         {"p99_ms", p(0.99)},
         {"p999_ms", p(0.999)},
         {"cpu_s_server", rounded(r.spent.server, 2)},
         {"cpu_s_client", rounded(r.spent.client, 2)},
         {"peak_rss_mb_server", rounded(in_mb(r.spent.memory_peak_bytes), 1)},
         {"cpu_s_other", rounded(r.spent.other, 2)},
         {"cpu_s_stolen", rounded(r.spent.stolen, 2)},
         {"failed", r.failed}};
  if (r.delivered) {
    j["duplicates"] = r.delivered->duplicates;
    j["publish_seconds"] = rounded(r.delivered->publish_seconds, 3);
    j["missing"] = r.delivered->missing;
    j["late_acks"] = r.delivered->late_acks;
  }
  j["noise"] = rounded(noise_of(r.spent, r.cores), 3);
  j["window"] = r.what.window;
  j["batch"] = r.what.batch;
  j["in_flight"] = r.what.in_flight;
  j["bodies"] = r.what.made_of == bodies::text ? "text" : "random";
  j["zstd_level"] = r.what.compress_level > 0 ? json(r.what.compress_level) : json(nullptr);
  j["linger_ms"] = r.what.linger.count();
  j["partitions"] = r.what.partitions;
  j["producers"] = r.what.producers;
  j["idle_sessions"] = r.what.idle;
  j["server_us_per_message"] = rounded(server_us(r), 2);
  j["syncs"] = r.spent.syncs;
  j["syncs_per_message"] = rounded(syncs_each(r), 5);
  j["ratio_to_floor_256k"] = rounded(of_large_floor(r), 3);
  j["ratio_to_floor_1k"] = rounded(times_small_floor(r), 2);
  j["floor"] = floor_json(r.floors);
  j["machine_load"] = rounded(r.load, 2);
  return j;
}

std::string row_text(const row& r) {
  const auto number = [](std::optional<double> n, int digits, const char* unit = "") {
    return n ? fixed(*n, digits) + unit : "?";
  };
  const auto p = [&](double part) { return fixed(in_ms(r.latency.percentile(part)), 3); };
  table t{{{row_name(r.what)}, {"", align::right}}};
  t.add({r.delivered ? "messages delivered" : "messages confirmed", grouped(r.messages)});
  t.add({"body", grouped(r.what.size) + " B"});
  t.add({"seconds", fixed(r.spent.seconds, 2)});
  t.add({"messages/s", grouped(static_cast<std::uint64_t>(per_second(r)))});
  t.add({"MB/s", fixed(megabytes_per_second(r), 1)});
  t.add({std::string{"p50 ms "} + latency_of(r), p(0.5)});
  t.add({"p99 ms", p(0.99)});
  t.add({"p99.9 ms", p(0.999)});
  if (is_about_latency(r))
    t.add({"p50, times the 1 KiB floor", number(times_small_floor(r), 2)});
  else
    t.add({"MB/s, of the 256 KiB floor",
           of_large_floor(r) ? fixed(100 * *of_large_floor(r), 1) + " %" : "?"});
  t.add({"server CPU us a message", number(server_us(r), 2)});
  t.add({"server peak memory MiB", fixed(in_mb(r.spent.memory_peak_bytes), 1)});
  t.add({"fdatasyncs a message", number(syncs_each(r), 5)});
  t.add({"CPU s: server, client, others", fixed(r.spent.server, 2) + ", " +
                                              fixed(r.spent.client, 2) + ", " +
                                              number(r.spent.other, 2)});
  if (r.delivered)
    t.add({"duplicates", grouped(r.delivered->duplicates)});
  return floor_text(r.floors) + "\n" + t.text();
}

std::vector<std::string> doubts(const row& r) {
  std::vector<std::string> found;
  const auto reached = is_about_latency(r) ? times_small_floor(r) : of_large_floor(r);
  if (!reached && r.messages > 0 && !r.floors.empty())
    found.push_back("These figures are above the floor of the disk, which no broker can pass that "
                    "syncs before it confirms: the machine was too busy while the floor was "
                    "measured for it to mean something. Measure again when nothing else works.");
  if (const auto noise = noise_of(r.spent, r.cores); noise && *noise > noise_max)
    found.push_back("Others took " + fixed(100 * *noise, 0) +
                    " % of this machine's processor time meanwhile, so these figures say something "
                    "about them too. Measure again when nothing else works.");
  if (!r.spent.other)
    found.push_back("The node is on another machine: the floor is that of this machine's disk, not "
                    "of the node's.");
  return found;
}

} // namespace waybill::cli::bench
