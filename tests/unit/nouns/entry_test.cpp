// The bytes of entries, the chain of hashes, and the body of a producer's batch.
#include "random_values.hpp"
#include "storage/entry.hpp"

#include <catch2/catch.hpp>

#include <cstring>

using namespace waybill;
using waybill::test::new_seed;
using waybill::test::random_values;

namespace {

entry random_entry(random_values& random, std::size_t body_bytes) {
  entry e;
  e.partition = {topic_id{random.number()}, random.number32()};
  e.index = log_index{random.number()};
  e.written = epoch{random.number()};
  e.kind = static_cast<entry_kind>(1 + random.below(7));
  e.first_offset = message_offset{random.number()};
  e.message_count = random.number32();
  e.stamped = random.time();
  e.previous = {random.number(), random.number()};
  e.body = shared_bytes{random.bytes(body_bytes)};
  e.hash = chain_hash(e);
  return e;
}

bool same(const entry& a, const entry& b) {
  return a.partition == b.partition && a.index == b.index && a.written == b.written &&
         a.kind == b.kind && a.first_offset == b.first_offset &&
         a.message_count == b.message_count && a.stamped == b.stamped && a.previous == b.previous &&
         a.hash == b.hash && a.body == b.body;
}

std::string encoded(const entry& e) {
  std::string out;
  encode_entry(e, out);
  return out;
}

void set_hash(std::string& bytes) { // as a newer version would: intact, whatever it says
  const auto hash = hash_of(bytes.substr(0, 72) + bytes.substr(entry_header_bytes));
  std::memcpy(&bytes[72], &hash.high, 8);
  std::memcpy(&bytes[80], &hash.low, 8);
}

} // namespace

TEST_CASE("an entry comes back from its bytes as it was", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 300; ++i) {
    const auto e = random_entry(random, i < 280 ? 300 : 300'000);
    const auto bytes = encoded(e);
    REQUIRE(bytes.size() == entry_header_bytes + e.body.size());
    const auto read = decode_entry(bytes);
    REQUIRE(read);
    REQUIRE(same(*read, e));
  }
}

TEST_CASE("an entry is appended to what is there, and read wherever it lies", "[nouns]") {
  random_values random{1};
  const auto e = random_entry(random, 100);
  for (std::size_t before = 0; before < 9; ++before) {
    std::string out(before, 'x');
    encode_entry(e, out);
    CHECK(out.substr(0, before) == std::string(before, 'x'));
    const auto read = decode_entry(std::string_view{out}.substr(before));
    REQUIRE(read);
    CHECK(same(*read, e));
  }
}

TEST_CASE("the bytes of an entry are those of the documented layout", "[nouns]") {
  entry e;
  e.partition = {topic_id{0x0102030405060708}, 0x11121314};
  e.index = log_index{0x2122232425262728};
  e.written = epoch{0x3132333435363738};
  e.kind = entry_kind::redrive;
  e.first_offset = message_offset{0x4142434445464748};
  e.message_count = 0x51525354;
  e.stamped = wall_time{milliseconds{-2}};
  e.previous = {0x6162636465666768, 0x7172737475767778};
  e.body = shared_bytes{"body!"};
  e.hash = chain_hash(e);
  const auto bytes = encoded(e);
  const std::string expected{"W\1\6\0\5\0\0\0"
                             "\x08\x07\x06\x05\x04\x03\x02\x01"
                             "\x28\x27\x26\x25\x24\x23\x22\x21"
                             "\x38\x37\x36\x35\x34\x33\x32\x31"
                             "\x48\x47\x46\x45\x44\x43\x42\x41"
                             "\xfe\xff\xff\xff\xff\xff\xff\xff"
                             "\x14\x13\x12\x11\x54\x53\x52\x51"
                             "\x68\x67\x66\x65\x64\x63\x62\x61"
                             "\x78\x77\x76\x75\x74\x73\x72\x71",
                             72};
  CHECK(bytes.substr(0, 72) == expected);
  CHECK(bytes.substr(entry_header_bytes) == "body!");
  CHECK(e.hash == hash_of(expected + "body!"));
}

TEST_CASE("hashes are XXH3-128 with seed 0", "[nouns]") {
  CHECK(to_string(hash_of("")) == "99aa06d3014798d86001c324468d497f"); // published test vector
}

TEST_CASE("one flipped bit anywhere in an entry is found", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (const std::size_t body : {0, 1, 200}) {
    const auto bytes = encoded(random_entry(random, body));
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      auto flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      const auto read = decode_entry(flipped);
      CAPTURE(bit);
      REQUIRE_FALSE(read);
      REQUIRE(read.error().code == ec::damaged);
      REQUIRE_FALSE(read.error().detail.empty());
    }
  }
}

TEST_CASE("an entry that ends too early, or goes on, is damaged", "[nouns]") {
  random_values random{2};
  const auto bytes = encoded(random_entry(random, 200));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const auto read = decode_entry(bytes.substr(0, length));
    CAPTURE(length);
    REQUIRE_FALSE(read);
    REQUIRE(read.error().code == ec::damaged);
  }
  CHECK_FALSE(decode_entry(bytes + '\0'));
  CHECK_FALSE(decode_entry(bytes + bytes));
}

TEST_CASE("an entry of another version or kind is refused, though it is intact", "[nouns]") {
  random_values random{3};
  const auto bytes = encoded(random_entry(random, 20));
  const auto refused = [&](std::size_t at, char value, const char* word) {
    auto changed = bytes;
    changed[at] = value;
    set_hash(changed);
    const auto read = decode_entry(changed);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ec::damaged);
    CHECK_THAT(read.error().detail, Catch::Contains(word));
  };
  refused(0, 'X', "mark");
  refused(1, 2, "version 2");
  refused(2, 0, "kind 0");
  refused(2, 9, "kind 9");
  refused(3, 1, "kind");
}

TEST_CASE("the chain's hash tells two entries apart by any of their fields", "[nouns]") {
  random_values random{4};
  const auto e = random_entry(random, 50);
  std::vector<entry> others(10, e);
  ++others[0].partition.topic.value;
  ++others[1].partition.number;
  ++others[2].index.value;
  ++others[3].written.value;
  ++others[4].first_offset.value;
  ++others[5].message_count;
  others[6].stamped += milliseconds{1};
  ++others[7].previous.low;
  others[8].body = shared_bytes{std::string{e.body.view()} + 'x'};
  others[9].kind = e.kind == entry_kind::group ? entry_kind::messages : entry_kind::group;
  for (const auto& other : others)
    CHECK(chain_hash(other) != e.hash);
}

TEST_CASE("who sent a batch, and the batch, come back from the body", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 300; ++i) {
    const auto batch = random.bytes(200);
    const publish_body b{random.name(), producer_epoch{random.number()},
                         batch_number{random.number()}, batch_number{random.number()}, batch};
    const auto body = encode_publish_body(b);
    const auto read = decode_publish_body(body.view());
    REQUIRE(read);
    REQUIRE(read->producer == b.producer);
    REQUIRE(read->opened == b.opened);
    REQUIRE(read->number == b.number);
    REQUIRE(read->previous == b.previous);
    REQUIRE(read->batch == batch);
    REQUIRE((read->batch.data() - body.view().data()) % 8 == 0);
  }
}

TEST_CASE("a batch that was changed keeps the hash of what was sent", "[nouns]") {
  const publish_body plain{"sender", producer_epoch{1}, batch_number{2}, batch_number{1}, "batch"};
  CHECK(hash_as_sent(plain) == hash_of("batch"));
  auto changed = plain;
  changed.sent = hash_of("as it was sent");
  const auto body = encode_publish_body(changed);
  CHECK(body.size() == encode_publish_body(plain).size() + 16);
  const auto read = decode_publish_body(body.view());
  REQUIRE(read);
  CHECK(read->producer == "sender");
  CHECK(read->batch == "batch");
  CHECK(hash_as_sent(*read) == hash_of("as it was sent"));
  CHECK((read->batch.data() - body.view().data()) % 8 == 0);
  CHECK_FALSE(decode_publish_body(body.view().substr(0, body.size() - 1)));
}

TEST_CASE("the body of a batch that ends too early, goes on, or is garbage is damaged", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  const auto body = encode_publish_body(
      {"sender", producer_epoch{1}, batch_number{2}, batch_number{1}, "sixteen bytes of"});
  for (std::size_t length = 0; length < body.size(); ++length) {
    const auto read = decode_publish_body(body.view().substr(0, length));
    REQUIRE_FALSE(read);
    REQUIRE(read.error().code == ec::damaged);
  }
  CHECK_FALSE(decode_publish_body(std::string{body.view()} + '\0'));
  auto padded = std::string{body.view()};
  padded[38] = 'x'; // between the name and the batch
  CHECK_FALSE(decode_publish_body(padded));
  for (int i = 0; i < 5000; ++i) {
    auto garbage = i % 2 ? random.bytes(100) : std::string{body.view()};
    if (!garbage.empty())
      garbage[random.below(garbage.size())] = static_cast<char>(random.below(256));
    if (const auto read = decode_publish_body(garbage))
      CHECK(read->batch.size() <= garbage.size());
  }
}

TEST_CASE("garbage is never an entry", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 5000; ++i) {
    auto garbage = random.bytes(300);
    if (garbage.size() > 8 && i % 2) { // further into the checks
      garbage[0] = 'W';
      garbage[1] = 1;
      const auto body = static_cast<std::uint32_t>(garbage.size() - entry_header_bytes);
      std::memcpy(&garbage[4], &body, sizeof body);
    }
    REQUIRE_FALSE(decode_entry(garbage));
  }
}
