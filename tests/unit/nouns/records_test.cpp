// The bytes of records and of checkpoints.
#include "random_values.hpp"
#include "storage/format.capnp.h"
#include "storage/records_codec.hpp"

#include <catch2/catch.hpp>

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <functional>
#include <limits>
#include <optional>

using namespace waybill;
using waybill::test::new_seed;
using waybill::test::random_values;

namespace {

/// One kind of record: random bytes of it, and whether bytes are such a record.
struct record_kind {
  const char* name;
  std::function<std::string(random_values&)> bytes;
  std::function<std::optional<failure>(std::string_view)> refused;
};

template <class T>
std::optional<failure> refusal(const result<T>& r) {
  return r ? std::nullopt : std::optional{r.error()};
}

const std::vector<record_kind>& record_kinds() {
  static const std::vector<record_kind> kinds = {
      {"delivery", [](random_values& r) { return encode(r.delivery()); },
       [](std::string_view b) { return refusal(decode_delivery_record(b)); }},
      {"group", [](random_values& r) { return encode(r.group()); },
       [](std::string_view b) { return refusal(decode_group_record(b)); }},
      {"producer", [](random_values& r) { return encode(r.producer()); },
       [](std::string_view b) { return refusal(decode_producer_record(b)); }},
      {"redrive", [](random_values& r) { return encode(r.redrive()); },
       [](std::string_view b) { return refusal(decode_redrive_record(b)); }},
      {"retention", [](random_values& r) { return encode(r.retention()); },
       [](std::string_view b) { return refusal(decode_retention_record(b)); }},
      {"transfer", [](random_values& r) { return encode(r.transfer()); },
       [](std::string_view b) { return refusal(decode_transfer_record(b)); }},
      {"partition", [](random_values& r) { return encode(r.partition_state()); },
       [](std::string_view b) { return refusal(decode_partition_snapshot(b)); }},
      {"dead letter", [](random_values& r) { return encode(r.dead()); },
       [](std::string_view b) { return refusal(decode_dead_letter(b)); }},
  };
  return kinds;
}

template <class T, class Decode>
void round_trip(const T& value, Decode decode) {
  const auto bytes = encode(value);
  const auto read = decode(std::string_view{bytes});
  REQUIRE(read);
  REQUIRE(*read == value);
  const auto shifted = "x" + bytes; // where no word begins
  const auto read_shifted = decode(std::string_view{shifted}.substr(1));
  REQUIRE(read_shifted);
  REQUIRE(*read_shifted == value);
}

template <class Schema, class Set>
std::string made_by_hand(Set set) {
  capnp::MallocMessageBuilder builder;
  set(builder.initRoot<Schema>());
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asChars();
  return {bytes.begin(), bytes.size()};
}

} // namespace

TEST_CASE("every record comes back from its bytes as it was", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 100; ++i) {
    round_trip(random.delivery(), decode_delivery_record);
    round_trip(random.group(), decode_group_record);
    round_trip(random.producer(), decode_producer_record);
    round_trip(random.redrive(), decode_redrive_record);
    round_trip(random.retention(), decode_retention_record);
    round_trip(random.transfer(), decode_transfer_record);
    round_trip(random.partition_state(), decode_partition_snapshot);
    round_trip(random.dead(), decode_dead_letter);
  }
  round_trip(delivery_record{}, decode_delivery_record);
  round_trip(partition_snapshot{}, decode_partition_snapshot);
}

TEST_CASE("a checkpoint of many megabytes comes back as it was", "[nouns]") {
  partition_snapshot s;
  group_snapshot g;
  g.group = "billing";
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    g.settled.push_back({message_offset{3 * i}, message_offset{3 * i + 1}});
    g.attempts[message_offset{3 * i + 1}] = {
        .failed = 1, .started = 1, .reason = std::string(200, 'r'), .consumer = "worker"};
  }
  s.groups = {g};
  const auto bytes = encode(s);
  REQUIRE(bytes.size() > (24u << 20));
  const auto read = decode_partition_snapshot(bytes);
  REQUIRE(read);
  CHECK((*read == s));
}

TEST_CASE("a record that ends too early, or goes on, is damaged", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (const auto& kind : record_kinds()) {
    CAPTURE(kind.name);
    const auto bytes = kind.bytes(random);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      const auto refused = kind.refused(std::string_view{bytes}.substr(0, length));
      CAPTURE(length);
      REQUIRE(refused);
      REQUIRE(refused->code == ec::damaged);
      REQUIRE_FALSE(refused->detail.empty());
    }
    CHECK(kind.refused(bytes + std::string(8, '\0')));
    CHECK(kind.refused(bytes + bytes));
    CHECK(kind.refused(bytes + 'x'));
  }
}

TEST_CASE("damaged records and garbage are a value, whatever is in them", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (const auto& kind : record_kinds())
    for (int i = 0; i < 1500; ++i) {
      auto bytes = i % 3 ? kind.bytes(random) : random.bytes(200);
      bytes.resize(bytes.size() / 8 * 8);
      for (auto flips = random.below(4); flips > 0 && !bytes.empty(); --flips) {
        const auto at = random.below(std::min<std::size_t>(bytes.size(), 400));
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      }
      if (const auto refused = kind.refused(bytes))
        REQUIRE(refused->code == ec::damaged);
    }
}

TEST_CASE("what a record's type forbids is refused, though its bytes are well formed", "[nouns]") {
  const auto damaged = [](const auto& read, const char* word) {
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ec::damaged);
    CHECK_THAT(read.error().detail, Catch::Contains(word));
  };
  const std::string null_root(16, '\0');
  auto with_table = null_root;
  with_table[4] = 1;
  damaged(decode_group_record(with_table), "action");
  damaged(decode_producer_record(with_table), "name");

  damaged(decode_group_record(made_by_hand<format::GroupRecord>([](auto r) {
            r.setAction(5);
            r.setGroup("billing");
          })),
          "action number 5");
  damaged(decode_group_record(made_by_hand<format::GroupRecord>([](auto r) {
            r.setAction(1);
            r.setGroup("no such name");
          })),
          "name");
  damaged(decode_group_record(made_by_hand<format::GroupRecord>([](auto r) {
            r.setAction(1);
            r.setGroup("billing");
            r.initPolicy().setLeaseMs(~0ull);
          })),
          "span");
  damaged(decode_group_record(made_by_hand<format::GroupRecord>([](auto r) {
            r.setAction(1);
            r.setGroup("billing");
            r.initPolicy().setFactor(std::numeric_limits<double>::quiet_NaN());
          })),
          "number");
  damaged(decode_dead_letter(made_by_hand<format::DeadLetter>([](auto r) { r.setWhy(6); })),
          "why number 6");
  damaged(decode_delivery_record(made_by_hand<format::DeliveryRecord>([](auto r) {
            auto group = r.initGroups(1)[0];
            group.setGroup("billing");
            auto range = group.initAcked(1)[0];
            range.setFirst(2);
            range.setEnd(1);
          })),
          "range");
  damaged(decode_transfer_record(made_by_hand<format::TransferRecord>([](auto r) {
            r.setAction(5);
            r.setGroup("billing");
          })),
          "transfer action number 5");
  damaged(decode_transfer_record(made_by_hand<format::TransferRecord>([](auto r) {
            r.setAction(1);
            r.setGroup("billing");
            r.initWhat().setTopic("bills");
            auto letters = r.getWhat().initDeadLetters(2);
            letters.set(0, 7);
            letters.set(1, 7);
          })),
          "ascend");
  damaged(decode_partition_snapshot(made_by_hand<format::PartitionState>([](auto r) {
            auto group = r.initGroups(1)[0];
            group.setGroup("billing");
            group.initDeadLetters(2); // twice offset 0
          })),
          "ascend");
}
