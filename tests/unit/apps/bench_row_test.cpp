// What `waybill bench` tells: the fields of the other brokers' rows, with the same meaning.
#include "apps/waybill/bench/row.hpp"

#include <catch2/catch.hpp>

using namespace waybill::cli;
using namespace waybill::cli::bench;
using namespace std::chrono_literals;

namespace {

/// 50,000 messages of 1 KiB in 10 s, 1 ms each, on two cores.
row some_row(workload what) {
  row r;
  r.what = usual_plan(what);
  r.messages = 50'000;
  r.cores = 2;
  for (int i = 0; i < 100; ++i)
    r.latency.add(1ms);
  r.spent = {.seconds = 10,
             .server = 0.4,
             .client = 0.5,
             .other = 1.0,
             .stolen = 0.2,
             .memory_peak_bytes = 64u << 20,
             .syncs = 2'500};
  r.floors = {{1'024, 8'000, 8.2, 125us}, {65'536, 3'000, 200, 300us}, {262'144, 1'000, 256, 1ms}};
  if (has_consumer(what))
    r.delivered = deliveries{.duplicates = 3, .publish_seconds = 9.5};
  return r;
}

} // namespace

TEST_CASE("a row has the fields of the other brokers' rows", "[row]") {
  const auto j = row_json(some_row(workload::publish), "1.2.3");
  CHECK(j["peer"] == "waybill");
  CHECK(j["version"] == "1.2.3");
  CHECK(j["nodes"] == 1);
  CHECK(j["workload"] == "W1-publish-1KiB");
  CHECK(j["fsync_before_confirm"] == true);
  CHECK(j["durability"].get<std::string>().find("fdatasync") != std::string::npos);
  CHECK(j["message_bytes"] == 1'024);
  CHECK(j["messages"] == 50'000);
  CHECK(j["seconds"] == 10);
  CHECK(j["msgs_per_s"] == 5'000);
  CHECK(j["mb_per_s"] == 5.12);
  for (const auto* each : {"p50_ms", "p99_ms", "p999_ms"})
    CHECK(j[each].get<double>() == Approx(1.0).epsilon(0.005));
  CHECK(j["cpu_s_server"] == 0.4);
  CHECK(j["cpu_s_client"] == 0.5);
  CHECK(j["cpu_s_other"] == 1.0);
  CHECK(j["cpu_s_stolen"] == 0.2);
  CHECK(j["peak_rss_mb_server"] == 64);
  CHECK(j["failed"] == 0);
  CHECK(j["noise"] == 0.06);
  CHECK_FALSE(j.contains("duplicates"));
}

TEST_CASE("a row tells what a message costs, and the floor of the disk beside it", "[row]") {
  const auto j = row_json(some_row(workload::publish), "1");
  CHECK(j["server_us_per_message"] == 8);
  CHECK(j["syncs_per_message"] == 0.05);
  CHECK(j["ratio_to_floor_256k"] == 0.02);
  CHECK(j["ratio_to_floor_1k"].get<double>() == Approx(8).epsilon(0.01));
  REQUIRE(j["floor"].size() == 3);
  CHECK(j["floor"][0]["bytes"] == 1'024);
  CHECK(j["floor"][0]["p50_ms"] == 0.125);
  CHECK(j["floor"][2]["mb_per_s"] == 256);
}

TEST_CASE("a row with a consumer tells duplicates and how long publishing took", "[row]") {
  const auto j = row_json(some_row(workload::end_to_end), "1");
  CHECK(j["workload"] == "W3-end-to-end");
  CHECK(j["duplicates"] == 3);
  CHECK(j["publish_seconds"] == 9.5);
  CHECK(j["missing"] == 0);
  CHECK(row_text(some_row(workload::end_to_end)).find("duplicates") != std::string::npos);
}

TEST_CASE("a row without messages divides nothing by them", "[row]") {
  row r;
  const auto j = row_json(r, "1");
  CHECK(j["msgs_per_s"] == 0);
  CHECK(j["server_us_per_message"].is_null());
  CHECK(j["syncs_per_message"].is_null());
  CHECK(j["ratio_to_floor_256k"].is_null());
  CHECK(row_text(r).find('?') != std::string::npos);
}

TEST_CASE("figures that cannot be believed say so", "[row]") {
  auto r = some_row(workload::publish);
  CHECK(doubts(r).empty());
  SECTION("faster than the disk") {
    r.floors[2].megabytes_per_second = 5;
    CHECK(doubts(r).size() == 1);
    CHECK(row_json(r, "1")["ratio_to_floor_256k"].is_null());
  }
  SECTION("a confirm in less than a sync takes") {
    r = some_row(workload::latency);
    CHECK(doubts(r).empty());
    r.floors[0].median = 2ms;
    CHECK(doubts(r).size() == 1);
  }
  SECTION("others at work") {
    r.spent.other = 3;
    CHECK(doubts(r).size() == 1);
  }
  SECTION("a node that is elsewhere") {
    r.spent.other.reset();
    CHECK(doubts(r).size() == 1);
    CHECK(row_json(r, "1")["noise"].is_null());
  }
}
