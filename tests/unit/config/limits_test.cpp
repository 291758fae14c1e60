// The page of limits: complete, consistent, and each line stands for one member.
#include "config/limits.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <string>

using namespace waybill;
using namespace std::chrono_literals;

namespace {

/// A value of the same type that differs from `value`.
limit_value changed(limit_value value) {
  std::visit([](auto& each) { each += std::decay_t<decltype(each)>{1}; }, value);
  return value;
}

} // namespace

TEST_CASE("every member of the limits stands on the page of limits, once", "[limits]") {
  // Every member is 8 bytes, so the struct's size counts them.
  REQUIRE(limit_keys().size() == sizeof(limits) / 8);
  std::set<std::string_view> keys;
  for (const auto& each : limit_keys())
    CHECK(keys.insert(each.key).second);

  for (const auto& written : limit_keys()) {
    INFO(written.key);
    const limits before;
    limits after;
    written.write(after, changed(written.read(before)));
    for (const auto& each : limit_keys())
      CHECK((each.read(after) != each.read(before)) == (each.key == written.key));
  }
}

TEST_CASE("every limit says its unit, what it bounds and what happens at its end", "[limits]") {
  for (const auto& each : limit_keys()) {
    INFO(each.key);
    CHECK_FALSE(each.unit.empty());
    CHECK(each.bounds.ends_with('.'));
    CHECK(each.at_end.ends_with('.'));
    CHECK(each.bounds.find(". ") == std::string_view::npos);
    CHECK(each.at_end.find(". ") == std::string_view::npos);
    const auto dot = each.key.find('.');
    REQUIRE(dot != std::string_view::npos);
    CHECK(each.key.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", dot + 1) ==
          std::string_view::npos);
    CHECK(find_limit(each.key) == &each);
  }
  CHECK(find_limit("net.message-bytes") == nullptr);
}

TEST_CASE("every default lies in its range, and the defaults agree with each other", "[limits]") {
  for (const auto& each : limit_keys()) {
    INFO(each.key);
    CHECK(each.low.index() == each.member.index());
    CHECK(each.high.index() == each.member.index());
    CHECK(each.low < each.high);
    CHECK(each.in_range(each.read(limits{})));
    CHECK(each.in_range(each.low));
    CHECK(each.in_range(each.high));
    CHECK_FALSE(each.in_range(changed(each.high)));
  }
  CHECK_FALSE(find_conflict(limits{}));
  CHECK_FALSE(find_limit("net.message-bytes-max")->in_range(limit_value{1s})); // not its type
}

TEST_CASE("no message is ever allowed to be larger than 16 MiB", "[limits]") {
  CHECK(std::get<std::uint64_t>(find_limit("net.message-bytes-max")->high) == 16u << 20);
}

TEST_CASE("limits that contradict each other are told apart by name", "[limits]") {
  limits values;
  const auto conflict = [&values](std::string_view key, std::string_view other) {
    const auto found = find_conflict(values);
    REQUIRE(found);
    CHECK(found->key == key);
    CHECK(found->other == other);
    CHECK(found->detail.find(std::string{key} + " = ") == 0);
    CHECK(found->detail.find(std::string{other} + " = ") != std::string::npos);
  };
  SECTION("a batch must hold the largest message and its own fields") {
    values.net.batch_bytes_max = values.net.message_bytes_max + 4'096;
    CHECK_FALSE(find_conflict(values));
    --values.net.batch_bytes_max;
    conflict("net.batch-bytes-max", "net.message-bytes-max");
  }
  SECTION("a connection must carry the largest batch") {
    values.net.connection_bytes_max = values.net.batch_bytes_max - 1;
    conflict("net.connection-bytes-max", "net.batch-bytes-max");
  }
  SECTION("the largest batch must be able to wait") {
    values.storage.pending_bytes_max = values.net.batch_bytes_max - 1;
    conflict("storage.pending-bytes-max", "net.batch-bytes-max");
  }
  SECTION("a consumer's credit must hold the largest message") {
    values.delivery.credit_bytes_max = values.net.message_bytes_max - 1;
    conflict("delivery.credit-bytes-max", "net.message-bytes-max");
  }
  SECTION("a new group's lease is one that is allowed") {
    values.delivery.lease_max = values.delivery.lease - 1ms;
    conflict("delivery.lease-max", "delivery.lease");
  }
  SECTION("delays do not shrink") {
    values.delivery.delay_max = values.delivery.delay - 1ms;
    conflict("delivery.delay-max", "delivery.delay");
  }
  SECTION("a batch without an answer is remembered, so that its repeat is known") {
    values.producers.remembered_batches = values.net.in_flight_max - 1;
    conflict("producers.remembered-batches", "net.in-flight-max");
  }
}

TEST_CASE("a limit is shown as a configuration file writes it", "[limits]") {
  CHECK(to_string(limit_value{std::uint64_t{1'048'576}}) == "1048576");
  CHECK(to_string(limit_value{0ms}) == "0ms");
  CHECK(to_string(limit_value{1ms}) == "1ms");
  CHECK(to_string(limit_value{1'500ms}) == "1500ms");
  CHECK(to_string(limit_value{30s}) == "30s");
  CHECK(to_string(limit_value{milliseconds{5min}}) == "5min");
  CHECK(to_string(limit_value{milliseconds{24h}}) == "24h");
  CHECK(to_string(limit_value{2.0}) == "2.0");
  CHECK(to_string(limit_value{0.1}) == "0.1");
}
