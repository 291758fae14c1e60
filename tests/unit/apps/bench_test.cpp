// The rules of `waybill bench`: percentiles, floors, which workload a row is of, what a run costs,
// which messages arrived.
#include "apps/waybill/bench/arrivals.hpp"
#include "apps/waybill/bench/body.hpp"
#include "apps/waybill/bench/cost.hpp"
#include "apps/waybill/bench/disk_floor.hpp"
#include "apps/waybill/bench/histogram.hpp"
#include "apps/waybill/bench/plan.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

using namespace waybill;
using namespace waybill::cli::bench;
using namespace std::chrono_literals;

TEST_CASE("a percentile is at most 0.4 % above the true one", "[histogram]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  histogram h, one_half, other_half;
  std::vector<std::int64_t> samples;
  for (int i = 0; i < 10'000; ++i) {
    const auto sample = static_cast<std::int64_t>(random() >> (random() % 40 + 24));
    samples.push_back(sample);
    h.add(std::chrono::nanoseconds{sample});
    (i % 2 ? one_half : other_half).add(std::chrono::nanoseconds{sample});
  }
  std::ranges::sort(samples);
  one_half.add(other_half);
  CHECK(one_half.count() == h.count());
  for (const double part : {0.001, 0.5, 0.9, 0.99, 1.0}) {
    const auto exact = samples[static_cast<std::size_t>(std::ceil(part * 10'000)) - 1];
    const auto told = h.percentile(part).count();
    CHECK(told >= exact);
    CHECK(static_cast<double>(told) <= static_cast<double>(exact) * 1.004 + 1);
    CHECK(one_half.percentile(part) == h.percentile(part));
  }
  CHECK(histogram{}.percentile(0.5) == 0ns);
}

TEST_CASE("the longest span has its bucket", "[histogram]") {
  histogram h;
  h.add(std::chrono::nanoseconds::max());
  h.add(-1ns);
  CHECK(h.percentile(1.0) == std::chrono::nanoseconds::max());
  CHECK(h.percentile(0.5) == 0ns);
}

TEST_CASE("a speed above the floor says that the floor was measured badly", "[disk_floor]") {
  CHECK(share_of_floor(50, 200) == 0.25);
  CHECK(share_of_floor(200, 200) == 1.0);
  CHECK(share_of_floor(0, 200) == 0.0);
  CHECK_FALSE(share_of_floor(201, 200));
  CHECK_FALSE(share_of_floor(1, 0));
}

TEST_CASE("a floor before and one after become their mean", "[disk_floor]") {
  const std::vector<disk_floor> before{{1'024, 5'000, 5, 200'000ns},
                                       {65'536, 3'000, 190, 300'000ns}};
  const std::vector<disk_floor> after{{1'024, 7'000, 7, 100'000ns}, {65'536, 1'000, 70, 900'000ns}};
  const auto mean = mean_of(before, after);
  REQUIRE(mean.size() == 2);
  CHECK(mean[0].bytes == 1'024);
  CHECK(mean[0].per_second == 6'000);
  CHECK(mean[0].megabytes_per_second == 6);
  CHECK(mean[0].median == 150'000ns);
  CHECK(mean[1].per_second == 2'000);
  CHECK(mean[1].median == 600'000ns);
}

TEST_CASE("a row is named by its workload, and by what is not as usual about it", "[plan]") {
  auto p = usual_plan(workload::publish);
  CHECK(row_name(p) == "W1-publish-1KiB");
  p.size = 100;
  CHECK(row_name(p) == "W1-publish-100B");
  p.size = 16'384;
  p.window = 4'000;
  p.partitions = 3;
  CHECK(row_name(p) == "W1-publish-16KiB-window-4000-partitions-3");
  p = usual_plan(workload::publish);
  p.made_of = bodies::text;
  CHECK(row_name(p) == "W1-publish-1KiB-text");
  p.compress_level = 3;
  CHECK(row_name(p) == "W1-publish-1KiB-text-zstd-3");
  CHECK(row_name(usual_plan(workload::latency)) == "W2-latency");
  CHECK(row_name(usual_plan(workload::end_to_end)) == "W3-end-to-end");
  CHECK(row_name(usual_plan(workload::fan_in)) == "W4-fan-in-8x8");
  p = usual_plan(workload::paced);
  CHECK(row_name(p) == "W3-paced-5000/s");
  p.rate = 100;
  p.size = 4'096;
  p.linger = 5ms;
  CHECK(row_name(p) == "W3-paced-100/s-4KiB-linger-5ms");
}

TEST_CASE("the workloads are those of the other brokers", "[plan]") {
  for (const auto what : {workload::publish, workload::end_to_end, workload::fan_in}) {
    const auto p = usual_plan(what);
    CHECK(p.size == 1'024);
    CHECK(p.window == 1'000);
    CHECK(p.span == 8s);
    CHECK(p.partitions == 1);
    CHECK(p.warm_up == (what == workload::end_to_end ? 0s : 1s));
  }
  CHECK(usual_plan(workload::fan_in).producers == 8);
  CHECK(usual_plan(workload::end_to_end).prefetch == 1'000);
  const auto single = usual_plan(workload::latency);
  CHECK(single.window == 1);
  CHECK(single.span == 5s);
  CHECK(single.messages_min == 2'000);
  const auto paced = usual_plan(workload::paced);
  CHECK(paced.rate == 5'000);
  CHECK(paced.span == 10s);
}

TEST_CASE("a run goes on for its span, or until there are enough messages", "[plan]") {
  CHECK(goes_on({.span = 5s}, 1'000'000, 4'999ms));
  CHECK_FALSE(goes_on({.span = 5s}, 0, 5s));
  const extent at_least{.span = 5s, .messages_min = 2'000};
  CHECK(goes_on(at_least, 1'999, 6s));
  CHECK_FALSE(goes_on(at_least, 2'000, 6s));
  CHECK(goes_on(at_least, 2'000, 4s));
  CHECK(goes_on(at_least, 1, 29s));
  CHECK_FALSE(goes_on(at_least, 1, 30s));
  const extent so_many{.span = 5s, .messages = 10};
  CHECK(goes_on(so_many, 9, 1h));
  CHECK_FALSE(goes_on(so_many, 10, 0s));
}

TEST_CASE("messages at a rate are due at even distances, however many there were", "[plan]") {
  CHECK(due_after(0, 5'000) == 0ns);
  CHECK(due_after(1, 5'000) == 200us);
  CHECK(due_after(50'000, 5'000) == 10s);
  CHECK(due_after(3'000'000'000, 3'000'000) == 1'000s);
}

TEST_CASE("a body tells its number and its time, and any other byte that is wrong", "[body]") {
  const body_maker maker{100}, other{100};
  const stamp sent{17, clock::time_point{12'345ns}};
  const auto body = maker.make(sent);
  REQUIRE(body.size() == 100);
  const auto found = maker.read(body);
  REQUIRE(found);
  CHECK(found->number == 17);
  CHECK(found->sent == sent.sent);
  CHECK(body != maker.make({18, sent.sent}));
  CHECK_FALSE(other.read(body));
  CHECK_FALSE(maker.read(body + "x"));
  CHECK_FALSE(maker.read(""));
  for (std::size_t at = stamp_bytes; at < body.size(); ++at) {
    auto damaged = body;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    CHECK_FALSE(maker.read(damaged));
  }
}

TEST_CASE("bodies of text are text, and no two of them are alike", "[body]") {
  const body_maker maker{300, bodies::text};
  std::set<std::string> contents;
  for (std::uint64_t number = 0; number < 1'000; ++number) {
    const auto body = maker.make({number, clock::time_point{7ns}});
    const auto content = body.substr(stamp_bytes);
    REQUIRE(content.size() == 300 - stamp_bytes);
    REQUIRE(
        std::ranges::all_of(content, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
    contents.insert(content);
    REQUIRE(maker.read(body)->number == number);
    REQUIRE_FALSE(maker.read(maker.make({number + 1, {}}).substr(0, stamp_bytes) + content));
  }
  CHECK(contents.size() == 1'000);
}

TEST_CASE("a body too short for a stamp has its size", "[body]") {
  for (const std::size_t size : {0u, 1u, 8u, 15u}) {
    const body_maker maker{size};
    CHECK(maker.make({}).size() == size);
    CHECK_FALSE(maker.read(maker.make({})));
  }
}

TEST_CASE("each message must arrive, and one that comes twice is counted", "[arrivals]") {
  arrivals seen;
  CHECK(seen.missing(3, {}) == 3);
  CHECK(seen.add(2));
  CHECK(seen.add(0));
  CHECK_FALSE(seen.add(2));
  CHECK(seen.count() == 2);
  CHECK(seen.duplicates() == 1);
  CHECK(seen.missing(3, {}) == 1);
  SECTION("of one that was not confirmed nobody knows whether it comes") {
    CHECK(seen.missing(3, {1}) == 0);
    CHECK(seen.missing(4, {1}) == 1);
    CHECK(seen.add(1));
    CHECK(seen.missing(3, {1}) == 0);
    CHECK(seen.missing(4, {1}) == 1);
  }
}

TEST_CASE("the processor time of a machine is what is neither idle nor waiting", "[cost]") {
  const auto found = parse_machine_times("cpu  100 20 300 5000 60 7 8 90 0 0\ncpu0 1 2 3\n", 100);
  REQUIRE(found);
  CHECK(found->busy == Approx(4.35));
  CHECK(found->stolen == Approx(0.9));
  CHECK_FALSE(parse_machine_times("", 100));
  CHECK_FALSE(parse_machine_times("cpu 1 2 3", 100));
  CHECK_FALSE(parse_machine_times("intr 1 2 3 4 5 6 7 8 9", 100));
}

namespace {

struct two_readings {
  reading before, after;
  two_readings() {
    before.at = std::chrono::steady_clock::time_point{100s};
    before.node.started = wall_time{5s};
    before.node.cpu_user = 2s;
    before.node.cpu_system = 1s;
    before.node.syncs = 10;
    before.client = 7;
    before.machine = {50, 1};
    before.shares_machine = true;
    after = before;
    after.at += 10s;
    after.node.cpu_user += 3s;
    after.node.cpu_system += 500ms;
    after.node.memory_peak_bytes = 77;
    after.node.syncs = 110;
    after.client = 9;
    after.machine = {56.5, 1.5};
  }
};

} // namespace

TEST_CASE("a cost is what lies between two readings", "[cost]") {
  two_readings r;
  const auto found = cost_between(r.before, r.after);
  REQUIRE(found);
  CHECK(found->seconds == Approx(10));
  CHECK(found->server == Approx(3.5));
  CHECK(found->client == Approx(2));
  REQUIRE(found->other);
  CHECK(*found->other == Approx(1));
  CHECK(found->stolen == Approx(0.5));
  CHECK(found->syncs == 100);
  CHECK(found->memory_peak_bytes == 77);
  const auto noise = noise_of(*found, 2);
  REQUIRE(noise);
  CHECK(*noise == Approx(1.5 / 20));
}

TEST_CASE("a node that was started again in between has no cost", "[cost]") {
  two_readings r;
  r.after.node.started += 1ms;
  const auto found = cost_between(r.before, r.after);
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ec::stopping);
}

TEST_CASE("what others use is not known of another machine", "[cost]") {
  two_readings r;
  r.before.shares_machine = false;
  const auto found = cost_between(r.before, r.after);
  REQUIRE(found);
  CHECK_FALSE(found->other);
  CHECK_FALSE(noise_of(*found, 2));
}
