// What a pump makes of orders: whole batches as they came, parts of them plain, and what it keeps
// of what was read within its bound.
#include "actors/partition/delivery_pump.hpp"
#include "storage/compression.hpp"
#include "storage/format.capnp.h"
#include "storage/records_codec.hpp"

#include <catch2/catch.hpp>

#include <capnp/message.h>
#include <capnp/serialize.h>

using namespace waybill;

namespace {

constexpr partition_id orders{topic_id{7}, 3};

std::string body_of(std::uint64_t number) {
  return "order " + std::to_string(number) +
         ": two boxes of what was ordered, to be sent by rail on the day after the last";
}

std::string batch_of(unsigned messages, bool with_bodies) {
  capnp::MallocMessageBuilder builder;
  auto list = builder.initRoot<format::Batch>().initMessages(messages);
  for (unsigned i = 0; with_bodies && i < messages; ++i) {
    const auto body = body_of(i);
    list[i].setBody(kj::arrayPtr(reinterpret_cast<const kj::byte*>(body.data()), body.size()));
  }
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asChars();
  return {bytes.begin(), bytes.size()};
}

std::string compressed(const std::string& plain) {
  auto frame = batch_compressor{3}.compress(plain);
  REQUIRE(frame);
  return *frame;
}

cached_entry_ptr entry_of(std::uint64_t first, std::uint32_t messages, const std::string& batch) {
  entry e;
  e.partition = orders;
  e.kind = entry_kind::messages;
  e.first_offset = message_offset{first};
  e.message_count = messages;
  e.body = encode_publish_body({"p", producer_epoch{1}, batch_number{first + 1}, {}, batch});
  e.hash = chain_hash(e);
  auto made = make_cached_entry(e);
  REQUIRE(made);
  return *made;
}

delivery_order order(std::uint64_t offset, std::uint64_t consumer) {
  return {consumer_id{consumer}, message_offset{offset}, 1};
}

/// The bodies that a chunk brings.
std::vector<std::string> bodies_in(const chunk& c) {
  const auto plain = plain_batch(c.batch);
  REQUIRE(plain);
  const auto views = read_batch(plain->view());
  REQUIRE(views);
  std::vector<std::string> bodies;
  for (const auto& each : c.messages)
    bodies.emplace_back(views->at(each.position).body);
  return bodies;
}

} // namespace

TEST_CASE("of a compressed batch most goes out as it came, and a part of it plain") {
  const auto plain = batch_of(100, true);
  const auto frame = compressed(plain);
  entry_cache cache{1u << 20};
  plain_batches opened{1u << 20};
  delivery_pump pump{orders, cache, opened};
  cache.put(entry_of(500, 100, frame));
  REQUIRE(pump.size_of(message_offset{507}) == body_of(7).size());
  REQUIRE(pump.message_at(message_offset{507}));
  CHECK(read_message(pump.message_at(message_offset{507})->bytes)->body == body_of(7));

  std::vector<delivery_order> wanted;
  for (std::uint64_t i = 0; i < 100; ++i) // a fifth of them to one consumer, the rest to another
    wanted.push_back(order(500 + i, i % 5 == 0 ? 2 : 1));
  const auto packed = pump.pack(wanted);
  REQUIRE(packed.size() == 2);
  const auto& most = packed.at(consumer_id{1}).at(0);
  const auto& part = packed.at(consumer_id{2}).at(0);
  CHECK(most.batch.view() == frame);
  CHECK(most.messages.size() == 80);
  CHECK_FALSE(is_compressed(part.batch.view()));
  CHECK(part.batch.size() < plain.size() / 3);
  CHECK(part.messages.size() == 20);
  const auto of_most = bodies_in(most);
  for (std::size_t i = 0; i < of_most.size(); ++i)
    CHECK(of_most[i] == body_of(most.messages[i].offset.value - 500));
  const auto of_part = bodies_in(part);
  for (std::size_t i = 0; i < of_part.size(); ++i)
    CHECK(of_part[i] == body_of(5 * i));
  CHECK(opened.bytes() >= plain.size()); // for the next part
}

TEST_CASE("small batches of very many messages do not fill what a pump keeps") {
  constexpr std::uint32_t many = 10'000;
  const auto frame = compressed(batch_of(many, false));
  REQUIRE(frame.size() < 200);
  std::vector<cached_entry_ptr> read;
  for (std::uint64_t i = 0; i < 1'000; ++i)
    read.push_back(entry_of(i * many, many, frame));
  entry_cache cache{0};
  plain_batches opened{1u << 20};
  delivery_pump pump{orders, cache, opened};
  pump.keep_ahead(read);
  CHECK(pump.size_of(message_offset{0}) == 0);
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < read.size(); ++i)
    kept += pump.size_of(message_offset{i * many}) ? bytes_held_by(*read[i]) : 0;
  CHECK(kept > 3u << 20);
  CHECK(kept <= 4u << 20);
  // What was not kept is read again, and then it is there.
  pump.let_go();
  pump.keep_ahead({read.begin() + 900, read.end()});
  CHECK(pump.size_of(message_offset{900 * many}) == 0);
}
