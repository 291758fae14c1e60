// Names, receipts, keys and error codes.
#include "net/waybill.capnp.h"
#include "random_values.hpp"
#include "storage/error.hpp"
#include "storage/types.hpp"

#include <catch2/catch.hpp>

#include <capnp/schema.h>

#include <cctype>
#include <set>

using namespace waybill;
using waybill::test::new_seed;
using waybill::test::random_values;

namespace {

const receipt example{"orders", 3, message_offset{17},
                      log_position{log_index{9}, epoch{2}, hash128{0xab, 0xcd}}};
const std::string example_text = "orders/3/17@2.9.00000000000000ab00000000000000cd";

std::string snake_case(std::string_view camel) {
  std::string out;
  for (const char c : camel) {
    if (std::isupper(static_cast<unsigned char>(c)))
      out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

} // namespace

TEST_CASE("a receipt reads as topic, partition, offset, epoch, index and hash", "[nouns]") {
  CHECK(to_string(example) == example_text);
  CHECK(message_id("orders", 3, message_offset{17}) == "orders/3/17");
  CHECK(partition_name("orders", 3) == "orders#3");
  CHECK(to_string(hash128{~0ull, 1}) == "ffffffffffffffff0000000000000001");
}

TEST_CASE("every receipt can be read back from its text", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 1000; ++i) {
    receipt r{random.name(), random.number32(), message_offset{random.number()}, random.position()};
    r.entry.index.value |= 1;
    r.entry.written.value |= 1;
    const auto read = parse_receipt(to_string(r));
    REQUIRE(read);
    REQUIRE(*read == r);
  }
}

TEST_CASE("what is not exactly a receipt is none", "[nouns]") {
  REQUIRE(parse_receipt(example_text) == example);
  const auto hash = std::string{"00000000000000ab00000000000000cd"};
  const std::vector<std::string> wrong = {
      "",
      "orders",
      "orders/3/17",
      "orders/3/17@2.9",
      "orders/3/17@2.9.",
      "/3/17@2.9." + hash,
      ".orders/3/17@2.9." + hash,
      "or ders/3/17@2.9." + hash,
      "orders//17@2.9." + hash,
      "orders/3/@2.9." + hash,
      "orders/03/17@2.9." + hash,
      "orders/+3/17@2.9." + hash,
      "orders/-3/17@2.9." + hash,
      "orders/ 3/17@2.9." + hash,
      "orders/3/17@0.9." + hash,
      "orders/3/17@2.0." + hash,
      "orders/4294967296/17@2.9." + hash,
      "orders/3/18446744073709551616@2.9." + hash,
      "orders/3/17@18446744073709551616.9." + hash,
      "orders/3/17@2.18446744073709551616." + hash,
      "orders/3/17@2.9.00000000000000AB00000000000000cd",
      "orders/3/17@2.9.00000000000000ab0000000000000-cd",
      "orders/3/17@2.9.0x000000000000ab00000000000000cd",
      "orders/3/17@2.9." + hash + "0",
      "orders/3/17@2.9." + hash.substr(1),
      example_text + "\n",
      " " + example_text,
      example_text + std::string(1, '\0'),
  };
  for (const auto& text : wrong) {
    CAPTURE(text);
    CHECK_FALSE(parse_receipt(text));
  }
  for (std::size_t length = 0; length < example_text.size(); ++length)
    CHECK_FALSE(parse_receipt(example_text.substr(0, length)));
}

TEST_CASE("no text that is changed by chance is read as a receipt that it does not spell",
          "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 20'000; ++i) {
    auto text = example_text;
    text[random.below(text.size())] = static_cast<char>(random.below(256));
    if (const auto read = parse_receipt(text))
      REQUIRE(to_string(*read) == text);
  }
}

TEST_CASE("a name has 1 to 128 plain letters, digits, dots, underscores and dashes", "[nouns]") {
  for (const auto* good : {"a", "orders", "Orders.v2", "a_b-c", "-", "_", "0", "a.", "a..b"}) {
    CAPTURE(good);
    CHECK(is_valid_name(good));
  }
  CHECK(is_valid_name(std::string(128, 'x')));
  CHECK_FALSE(is_valid_name(std::string(129, 'x')));
  for (const auto* bad :
       {"", ".", "..", ".a", "a b", "a/b", "a@b", "a#b", "a\n", "\xc3\xa4", "a\\"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_valid_name(bad));
  }
  CHECK_FALSE(is_valid_name(std::string_view{"a\0b", 3}));
}

TEST_CASE("a key's partition is the published FNV-1a of its bytes, modulo the partitions",
          "[nouns]") {
  const std::vector<std::pair<std::string, std::uint64_t>> published = {
      {"", 0xcbf29ce484222325},
      {"a", 0xaf63dc4c8601ec8c},
      {"b", 0xaf63df4c8601f1a5},
      {"foobar", 0x85944171f73967e8},
      {"chongo was here!\n", 0x46810940eff5f915},
  };
  for (const auto& [key, hash] : published)
    for (const std::uint32_t partitions : {1u, 2u, 3u, 10u, 1000u, 4294967291u, 4294967295u}) {
      CAPTURE(key, partitions);
      CHECK(partition_of_key(key, partitions) == hash % partitions);
    }
  CHECK(partition_of_key("\xff", 1'000'003) != partition_of_key("\x7f", 1'000'003));
}

TEST_CASE("the codes of errors have the names and numbers of the clients' contract", "[nouns]") {
  const auto enumerants = capnp::Schema::from<wire::ErrorCode>().getEnumerants();
  REQUIRE(enumerants.size() == static_cast<unsigned>(ec::in_doubt) + 1);
  std::set<std::string_view> names;
  for (const auto enumerant : enumerants) {
    const auto code = static_cast<ec>(enumerant.getOrdinal());
    CAPTURE(to_string(code));
    CHECK(to_string(code) == snake_case(enumerant.getProto().getName().cStr()));
    CHECK(names.insert(to_string(code)).second);
  }
  CHECK(to_string(static_cast<ec>(200)) == "unknown_code");
}

TEST_CASE("a retry is advised only where time or another node may cure the failure", "[nouns]") {
  const std::set<ec> curable = {ec::not_leader,  ec::overloaded,        ec::storage_failed,
                                ec::stopping,    ec::timed_out,         ec::disk_full,
                                ec::unreachable, ec::partition_offline, ec::extension_failed};
  for (int number = 0; number < 256; ++number) {
    const auto code = static_cast<ec>(number);
    CAPTURE(number);
    CHECK(retry_can_help(code) == curable.contains(code));
  }
}

TEST_CASE("a result is a value or a failure, and success of nothing or a failure", "[nouns]") {
  const result<int> good{7};
  const result<int> bad{failure{ec::damaged, "why"}};
  CHECK((good && *good == 7));
  CHECK((!bad && bad.error().code == ec::damaged && bad.error().detail == "why"));
  const result<void> done;
  const result<void> undone{failure{ec::disk_full, "full"}};
  CHECK(done);
  CHECK((!undone && undone.error().code == ec::disk_full));
}
