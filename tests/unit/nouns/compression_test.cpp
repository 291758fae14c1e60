// Compressed batches: made, checked as a node checks what comes in, and taken apart.
#include "random_values.hpp"
#include "storage/compression.hpp"
#include "storage/format.capnp.h"
#include "storage/plain_batches.hpp"
#include "storage/records_codec.hpp"

#include <catch2/catch.hpp>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <zstd.h>

#include <iostream>

using namespace waybill;
using waybill::test::new_seed;
using waybill::test::random_values;

namespace {

constexpr std::size_t node_bytes_max = 4u << 20;
constexpr batch_limits wide{1'000'000, 1u << 20};

/// Messages that are alike, as lines of a log are; one of them has a time.
std::string text_batch(random_values& random, unsigned messages) {
  capnp::MallocMessageBuilder builder;
  auto batch = builder.initRoot<format::Batch>();
  auto list = batch.initMessages(messages);
  for (auto each : list) {
    const auto body = "order " + std::to_string(random.below(1'000'000)) + " of customer " +
                      std::to_string(random.below(100)) + ": two boxes, to be sent at once";
    const auto key = "customer-" + std::to_string(random.below(100));
    each.setKey(kj::arrayPtr(reinterpret_cast<const kj::byte*>(key.data()), key.size()));
    each.setBody(kj::arrayPtr(reinterpret_cast<const kj::byte*>(body.data()), body.size()));
  }
  batch.initTimes(1)[0].setDelayMs(1'000);
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asChars();
  return {bytes.begin(), bytes.size()};
}

std::string compressed(const std::string& plain, int level = 3) {
  auto frame = batch_compressor{level}.compress(plain);
  REQUIRE(frame);
  return *frame;
}

failure refusal_of(std::string_view batch, std::size_t bytes_max = node_bytes_max) {
  REQUIRE(is_compressed(batch));
  const auto plain = decompress_batch(batch, bytes_max);
  REQUIRE_FALSE(plain);
  return plain.error();
}

/// A frame made by hand: one segment, a content size of eight bytes, and these blocks.
std::string frame_that_declares(std::uint64_t bytes, const std::string& blocks) {
  std::string frame{"\x28\xb5\x2f\xfd\xe0", 5};
  for (int i = 0; i < 8; ++i)
    frame += static_cast<char>(bytes >> (8 * i));
  return frame + blocks;
}

/// The last block of a frame: so many times this byte.
std::string run_of(char byte, std::uint32_t times) {
  const std::uint32_t header = 1 | 1u << 1 | times << 3;
  return {static_cast<char>(header), static_cast<char>(header >> 8),
          static_cast<char>(header >> 16), byte};
}

} // namespace

TEST_CASE("a compressed batch holds what was compressed, at every level", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int level = compression_level_min; level <= compression_level_max; ++level) {
    batch_compressor compressor{level};
    for (int i = 0; i < 5; ++i) {
      const auto plain = text_batch(random, static_cast<unsigned>(20 + random.below(500)));
      REQUIRE_FALSE(is_compressed(plain));
      CHECK(plain_bytes_of(plain) == plain.size());
      const auto frame = compressor.compress(plain);
      REQUIRE(frame);
      CHECK(frame->size() < plain.size() / 2);
      REQUIRE(is_compressed(*frame));
      CHECK(plain_bytes_of(*frame) == plain.size());
      const auto back = decompress_batch(*frame, plain.size());
      REQUIRE(back);
      REQUIRE(*back == plain);
      CHECK(compressor.compress(plain) == frame); // the working memory leaves no trace
    }
  }
}

TEST_CASE("what would not get smaller is not compressed", "[nouns]") {
  random_values random{3};
  batch_compressor compressor{compression_level_max};
  for (const std::size_t size : {0u, 1u, 7u, 8u, 100u, 100'000u}) {
    std::string noise(size, '\0');
    for (auto& each : noise)
      each = static_cast<char>(random.below(256));
    CHECK_FALSE(compressor.compress(noise));
  }
}

TEST_CASE("no batch that a node takes plain looks like a compressed one", "[nouns]") {
  random_values random{4};
  auto batch = text_batch(random, 10);
  REQUIRE(check_batch(batch, wide));
  batch.replace(0, 4, "\x28\xb5\x2f\xfd", 4);
  const auto checked = check_batch(batch, wide);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code == ec::malformed_batch);
}

TEST_CASE("a frame that is cut short is refused wherever it ends", "[nouns]") {
  random_values random{5};
  const auto frame = compressed(text_batch(random, 200));
  for (std::size_t length = 4; length < frame.size(); ++length) {
    CAPTURE(length);
    const auto why = refusal_of(std::string_view{frame}.substr(0, length));
    REQUIRE(why.code == ec::malformed_batch);
  }
}

TEST_CASE("a frame with a wrong bit is refused, for it carries a checksum", "[nouns]") {
  random_values random{6};
  const auto plain = text_batch(random, 100);
  const auto frame = compressed(plain);
  for (std::size_t at = 4; at < frame.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = frame;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      CAPTURE(at, bit);
      const auto found = decompress_batch(damaged, node_bytes_max);
      if (found) // a bit that says nothing
        REQUIRE(*found == plain);
      else
        REQUIRE((found.error().code == ec::malformed_batch ||
                 found.error().code == ec::batch_too_large));
    }
}

TEST_CASE("a batch is one frame and nothing else", "[nouns]") {
  random_values random{7};
  const auto frame = compressed(text_batch(random, 100));
  const std::string skippable{"\x50\x2a\x4d\x18\x01\0\0\0x", 9};
  for (const auto& tail : {std::string(1, '\0'), std::string(8, 'x'), frame, skippable}) {
    const auto why = refusal_of(frame + tail);
    CHECK(why.code == ec::malformed_batch);
    CHECK_THAT(why.detail, Catch::Contains(std::to_string(tail.size()) + " bytes behind"));
  }
  CHECK_FALSE(is_compressed(skippable + frame));
}

TEST_CASE("a frame without its content size is refused", "[nouns]") {
  random_values random{8};
  const auto plain = text_batch(random, 100);
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context{ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx};
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, 0);
  std::string frame(ZSTD_compressBound(plain.size()), '\0');
  frame.resize(
      ZSTD_compress2(context.get(), frame.data(), frame.size(), plain.data(), plain.size()));
  const auto why = refusal_of(frame);
  CHECK(why.code == ec::malformed_batch);
  CHECK_THAT(why.detail, Catch::Contains("does not say how many bytes"));
}

TEST_CASE("a frame that needs a dictionary is refused", "[nouns]") {
  // One segment, a dictionary's number of one byte, a content size of one byte, a raw block.
  const std::string frame{"\x28\xb5\x2f\xfd\x21\x07\x05\x29\0\0hello", 15};
  const auto why = refusal_of(frame);
  CHECK(why.code == ec::malformed_batch);
  CHECK_THAT(why.detail, Catch::Contains("dictionary"));
  const std::string without{"\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello", 14};
  const auto plain = decompress_batch(without, node_bytes_max);
  REQUIRE(plain); // not for any other reason
  CHECK(*plain == "hello");
}

TEST_CASE("a small frame cannot stand for a large batch", "[nouns]") {
  SECTION("that it declares") {
    const auto frame = compressed(std::string(node_bytes_max + 8, '\0'));
    CHECK(frame.size() < 1'000);
    const auto why = refusal_of(frame);
    CHECK(why.code == ec::batch_too_large);
    CHECK_THAT(why.detail, Catch::Contains("net.batch-bytes-max (4194304)") &&
                               Catch::Contains("4194312 bytes"));
    CHECK(decompress_batch(frame, node_bytes_max + 8));
  }
  SECTION("that is larger than any memory") {
    for (const auto bytes : {~0ull - 2, 1ull << 63, 1ull << 40})
      CHECK(refusal_of(frame_that_declares(bytes, run_of('x', 100))).code == ec::batch_too_large);
  }
  SECTION("that is more than it declares") {
    const auto lie = frame_that_declares(10, run_of('x', 100'000));
    CHECK(refusal_of(lie).code == ec::malformed_batch);
    const auto truth =
        decompress_batch(frame_that_declares(100'000, run_of('x', 100'000)), node_bytes_max);
    REQUIRE(truth); // not for any other reason
    CHECK(truth->size() == 100'000);
  }
  SECTION("that is less than it declares") {
    CHECK(refusal_of(frame_that_declares(100'001, run_of('x', 100'000))).code ==
          ec::malformed_batch);
  }
  SECTION("in another frame: what a frame holds is plain") {
    random_values random{9};
    const auto once = compressed(text_batch(random, 5'000));
    const auto inner = check_batch(once, wide);
    REQUIRE_FALSE(inner);
    CHECK(inner.error().code == ec::malformed_batch);
  }
}

TEST_CASE("whatever a client sends as a frame is refused, or stays within its bound", "[nouns]") {
  const auto seed = new_seed();
  std::cout << "seed " << seed << "\n";
  CAPTURE(seed);
  random_values random{seed};
  const auto frame_of = [&] {
    return compressed(text_batch(random, static_cast<unsigned>(20 + random.below(60))),
                      static_cast<int>(1 + random.below(6)));
  };
  auto frame = frame_of();
  int accepted = 0;
  for (int i = 0; i < 30'000; ++i) {
    if (i % 50 == 0)
      frame = frame_of();
    auto sent = frame;
    for (auto changes = random.below(4); changes > 0 && sent.size() > 5; --changes) {
      const auto at = 4 + random.below(std::min<std::uint64_t>(sent.size() - 4, 40));
      switch (random.below(5)) {
      case 0: // near the head, where what decides stands
        sent[at] = static_cast<char>(random.number());
        break;
      case 1:
        sent[4 + random.below(sent.size() - 4)] = static_cast<char>(random.number());
        break;
      case 2:
        sent.resize(at);
        break;
      case 3:
        sent.insert(at, random.bytes(20));
        break;
      case 4:
        sent += frame.substr(random.below(frame.size()));
        break;
      }
    }
    constexpr std::size_t bytes_max = 16 * 1024;
    const auto plain = decompress_batch(sent, bytes_max);
    if (!plain) {
      const auto& why = plain.error();
      REQUIRE((why.code == ec::malformed_batch || why.code == ec::batch_too_large));
      REQUIRE_FALSE(why.detail.empty());
      continue;
    }
    REQUIRE(plain->size() <= bytes_max);
    REQUIRE(plain_bytes_of(sent) == plain->size());
    const auto checked = check_batch(*plain, wide);
    if (!checked)
      continue;
    ++accepted;
    const auto again = plain_batch(shared_bytes{sent});
    REQUIRE(again);
    REQUIRE(again->view() == *plain);
    REQUIRE(message_sizes(again->view())->size() == checked->messages);
  }
  CHECK(accepted > 1'000);
}

TEST_CASE("batches that are taken apart again and again are decompressed once, within a bound",
          "[nouns]") {
  random_values random{10};
  std::vector<cached_entry> entries(5);
  std::vector<std::string> plain;
  for (std::uint64_t i = 0; i < entries.size(); ++i) {
    plain.push_back(text_batch(random, 100));
    entries[i].content.hash = {1, i};
    entries[i].batch = shared_bytes{compressed(plain.back())};
  }
  const auto room = plain[0].size() * 3;
  plain_batches held{room};
  const auto* first = held.of(entries[0])->view().data();
  for (std::size_t round = 0; round < 2; ++round)
    for (std::size_t i = 1; i < entries.size(); ++i) {
      CHECK(held.of(entries[i])->view() == plain[i]);
      CHECK(held.of(entries[0])->view().data() == first); // asked for again and again: it stays
      CHECK(held.bytes() <= room);
    }
  cached_entry without;
  without.batch = shared_bytes{plain[1]};
  const auto before = held.bytes();
  CHECK(held.of(without)->view().data() == without.batch.view().data());
  CHECK(held.bytes() == before);
  cached_entry damaged;
  damaged.content.hash = {2, 0};
  damaged.batch = shared_bytes{std::string{entries[1].batch.view().substr(0, 40)}};
  const auto why = held.of(damaged);
  REQUIRE_FALSE(why);
  CHECK(why.error().code == ec::damaged);
}

TEST_CASE("a small batch of many messages counts with what is kept of each of them", "[nouns]") {
  const auto entry_of = [](std::uint64_t first) {
    cached_entry e;
    e.content.kind = entry_kind::messages;
    e.content.first_offset = message_offset{first};
    e.content.message_count = 10'000;
    e.content.body = shared_bytes{std::string(200, 'x')};
    return std::make_shared<cached_entry>(std::move(e));
  };
  CHECK(bytes_held_by(*entry_of(0)) == 200 + 10'000 * (4 + 8));
  entry_cache cache{1u << 20};
  for (std::uint64_t i = 0; i < 100; ++i)
    cache.put(entry_of(i * 10'000));
  CHECK(cache.bytes() <= 1u << 20);
  CHECK_FALSE(cache.find({}, message_offset{0}));
  CHECK(cache.find({}, message_offset{999'999}));
}
