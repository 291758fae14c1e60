// Batches: what a client may send, and what is made of it.
#include "random_values.hpp"
#include "storage/format.capnp.h"
#include "storage/records_codec.hpp"

#include <catch2/catch.hpp>

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>

using namespace waybill;
using waybill::test::new_seed;
using waybill::test::random_values;

namespace {

struct message {
  std::string key;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  friend bool operator==(const message&, const message&) = default;
};

message owned(const message_view& view) {
  message m{std::string{view.key}, {}, std::string{view.body}};
  for (const auto& [name, value] : view.headers)
    m.headers.emplace_back(name, value);
  return m;
}

std::size_t bytes_of(const message& m) {
  auto bytes = m.key.size() + m.body.size();
  for (const auto& [name, value] : m.headers)
    bytes += name.size() + value.size();
  return bytes;
}

message random_message(random_values& random) {
  return {random.bytes(20),
          random.list(3,
                      [&] {
                        return std::pair{random.name(), random.bytes(30)};
                      }),
          random.bytes(100)};
}

std::vector<message> random_messages(random_values& random, std::size_t most) {
  auto messages = random.list(most - 1, [&] { return random_message(random); });
  messages.push_back(random_message(random));
  return messages;
}

kj::ArrayPtr<const kj::byte> data_of(const std::string& s) {
  return kj::arrayPtr(reinterpret_cast<const kj::byte*>(s.data()), s.size());
}

/// As a client would: with whatever segments the builder makes, from a first one of so many words.
std::string batch_of(const std::vector<message>& messages, unsigned first_segment_words = 1024) {
  capnp::MallocMessageBuilder builder{first_segment_words, capnp::AllocationStrategy::FIXED_SIZE};
  auto list =
      builder.initRoot<format::Batch>().initMessages(static_cast<unsigned>(messages.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    const auto& m = messages[i];
    list[i].setKey(data_of(m.key));
    auto headers = list[i].initHeaders(static_cast<unsigned>(m.headers.size()));
    for (unsigned h = 0; h < headers.size(); ++h) {
      headers[h].setName(m.headers[h].first.c_str());
      headers[h].setValue(data_of(m.headers[h].second));
    }
    list[i].setBody(data_of(m.body));
  }
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asChars();
  return {bytes.begin(), bytes.size()};
}

std::vector<message> messages_of(std::string_view batch) {
  const auto views = read_batch(batch);
  REQUIRE(views);
  std::vector<message> messages;
  for (const auto& view : *views)
    messages.push_back(owned(view));
  return messages;
}

constexpr batch_limits wide{1'000'000, 1u << 20};

/// A flat array of one segment with these words in it.
std::string flat(const std::vector<std::uint64_t>& words) {
  std::string bytes(8 + words.size() * 8, '\0');
  const auto count = static_cast<std::uint32_t>(words.size());
  std::memcpy(&bytes[4], &count, sizeof count);
  std::memcpy(&bytes[8], words.data(), words.size() * 8);
  return bytes;
}
std::uint64_t struct_pointer(std::uint64_t away, std::uint64_t pointers) {
  return away << 2 | pointers << 48;
}
std::uint64_t list_pointer(std::uint64_t away, std::uint64_t element, std::uint64_t size) {
  return away << 2 | 1 | element << 32 | size << 35;
}
constexpr std::uint64_t of_bytes = 2;   // elements of one byte
constexpr std::uint64_t of_structs = 7; // a tag, then structs

} // namespace

TEST_CASE("other headers leave all else of a batch as it was, its times too", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 200; ++i) {
    auto messages = random_messages(random, 20);
    const auto place = static_cast<std::uint32_t>(random.below(messages.size()));
    const auto headers = random.list(4, [&] { return std::pair{random.name(), random.bytes(50)}; });
    const auto changed = with_headers(batch_of(messages), {{place, headers}});
    REQUIRE(changed);
    messages[place].headers = headers;
    REQUIRE(messages_of(*changed) == messages);
    REQUIRE(check_batch(*changed, wide));
  }
  const auto refused = with_headers(batch_of({{}}), {{1, {}}});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ec::bad_argument);

  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<format::Batch>();
  root.initMessages(2);
  auto times = root.initTimes(1);
  times[0].setPosition(1);
  times[0].setDelayMs(5);
  const auto words = capnp::messageToFlatArray(builder);
  const std::string batch{words.asChars().begin(), words.asChars().size()};
  const auto with = with_headers(batch, {{0, {{"a", "b"}}}});
  REQUIRE(with);
  CHECK(*times_of(*with, {}, {}) == *times_of(batch, {}, {}));
}

TEST_CASE("a batch that was checked is read, measured and cut as it was made", "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  for (int i = 0; i < 200; ++i) {
    const auto messages = random_messages(random, 20);
    const auto batch = batch_of(messages, i % 2 ? 1024 : 16);
    const auto count = check_batch(batch, wide);
    REQUIRE(count);
    REQUIRE(count->messages == messages.size());
    REQUIRE(count->timed == 0);
    REQUIRE(messages_of(batch) == messages);

    const auto sizes = message_sizes(batch);
    REQUIRE(sizes);
    REQUIRE(sizes->size() == messages.size());
    std::vector<std::uint32_t> positions;
    std::vector<message> wanted;
    for (std::uint32_t position = 0; position < messages.size(); ++position) {
      REQUIRE((*sizes)[position] == bytes_of(messages[position]));
      const auto extracted = extract_message(batch, position);
      REQUIRE(extracted);
      const auto view = read_message(*extracted);
      REQUIRE(view);
      REQUIRE(owned(*view) == messages[position]);
      if (random.below(2)) {
        positions.push_back(position);
        wanted.push_back(messages[position]);
      }
    }
    const auto cut = cut_batch(batch, positions);
    REQUIRE(cut);
    REQUIRE(messages_of(*cut) == wanted);
    if (!positions.empty())
      REQUIRE(check_batch(*cut, wide));
  }
}

TEST_CASE("a batch is read wherever it lies in memory, and the views point into it", "[nouns]") {
  random_values random{1};
  const auto messages = random_messages(random, 10);
  const auto batch = batch_of(messages);
  for (std::size_t before = 0; before < 9; ++before) {
    const auto shifted = std::string(before, 'x') + batch;
    const auto there = std::string_view{shifted}.substr(before);
    REQUIRE(check_batch(there, wide));
    REQUIRE(messages_of(there) == messages);
    const auto views = read_batch(there);
    REQUIRE(views);
    for (const auto& view : *views)
      if (!view.body.empty()) {
        CHECK(view.body.data() >= there.data());
        CHECK(view.body.data() + view.body.size() <= there.data() + there.size());
      }
  }
}

TEST_CASE("a position that the batch does not have is damage, and named", "[nouns]") {
  const auto batch = batch_of({{"k", {}, "one"}, {"k", {}, "two"}});
  const auto cut = cut_batch(batch, {0, 2});
  REQUIRE_FALSE(cut);
  CHECK(cut.error().code == ec::damaged);
  CHECK_THAT(cut.error().detail, Catch::Contains("position 2"));
  const auto extracted = extract_message(batch, 2);
  REQUIRE_FALSE(extracted);
  CHECK(extracted.error().code == ec::damaged);
}

TEST_CASE("a batch beyond a limit is refused with the place and the limit", "[nouns]") {
  const std::vector<message> messages = {
      {"k", {}, "fits"}, {"key", {{"name", "value"}}, "0123456789"}, {"", {}, ""}};
  const auto batch = batch_of(messages);
  CHECK(check_batch(batch, {3, 22}));
  const auto large = check_batch(batch, {3, 21});
  REQUIRE_FALSE(large);
  CHECK(large.error().code == ec::message_too_large);
  CHECK_THAT(large.error().detail, Catch::Contains("message 2") && Catch::Contains("22 bytes") &&
                                       Catch::Contains("net.message-bytes-max is 21"));
  const auto many = check_batch(batch, {2, 22});
  REQUIRE_FALSE(many);
  CHECK(many.error().code == ec::limit_reached);
  CHECK_THAT(many.error().detail,
             Catch::Contains("3 messages") && Catch::Contains("net.batch-messages-max is 2"));
  const auto none = check_batch(batch_of({}), wide);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ec::malformed_batch);
}

TEST_CASE("a batch that ends too early, or has anything behind it, is malformed", "[nouns]") {
  random_values random{2};
  for (const unsigned first_segment : {1024u, 16u}) {
    const auto batch = batch_of(random_messages(random, 5), first_segment);
    for (std::size_t length = 0; length < batch.size(); ++length) {
      const auto checked = check_batch(std::string_view{batch}.substr(0, length), wide);
      CAPTURE(length);
      REQUIRE_FALSE(checked);
      REQUIRE(checked.error().code == ec::malformed_batch);
    }
    for (const auto& tail : {std::string(1, '\0'), std::string(8, '\0'), batch}) {
      const auto checked = check_batch(batch + tail, wide);
      REQUIRE_FALSE(checked);
      CHECK(checked.error().code == ec::malformed_batch);
    }
  }
}

TEST_CASE("whatever a client sends is refused, or can be read by everybody after the check",
          "[nouns]") {
  const auto seed = new_seed();
  CAPTURE(seed);
  random_values random{seed};
  int accepted = 0;
  for (int i = 0; i < 8000; ++i) {
    auto batch = i % 8 ? batch_of(random_messages(random, 4), i % 2 ? 256 : 16) : random.bytes(200);
    batch.resize(batch.size() / 8 * 8);
    for (auto flips = 1 + random.below(4); flips > 0 && !batch.empty(); --flips) {
      const auto at = random.below(batch.size());
      batch[at] = static_cast<char>(batch[at] ^ (1 << random.below(8)));
    }
    const auto count = check_batch(batch, wide);
    if (!count) {
      REQUIRE_FALSE(count.error().detail.empty());
      (void)read_batch(batch); // a value, whatever it is
      (void)message_sizes(batch);
      (void)read_message(batch);
      continue;
    }
    ++accepted;
    const auto messages = messages_of(batch);
    REQUIRE(messages.size() == count->messages);
    REQUIRE(times_of(batch, message_offset{}, wall_time{}));
    REQUIRE(message_sizes(batch));
    const auto last = count->messages - 1;
    const auto cut = cut_batch(batch, {last});
    REQUIRE(cut);
    REQUIRE(messages_of(*cut) == std::vector<message>{messages[last]});
    REQUIRE(extract_message(batch, last));
  }
  CHECK(accepted > 100);
}

TEST_CASE("a small batch cannot stand for a large one", "[nouns]") {
  SECTION("by many pointers to one body") {
    constexpr std::uint64_t count = 1000;
    constexpr std::uint64_t body_bytes = 64 * 1024;
    std::vector<std::uint64_t> words = {struct_pointer(0, 1),
                                        list_pointer(0, of_structs, count * 3),
                                        count << 2 | std::uint64_t{3} << 48};
    const auto body_at = words.size() + count * 3;
    for (std::uint64_t i = 0; i < count; ++i) {
      words.push_back(0);
      words.push_back(0);
      words.push_back(list_pointer(body_at - words.size() - 1, of_bytes, body_bytes));
    }
    words.resize(body_at + body_bytes / 8, 0x6161616161616161);
    const auto checked = check_batch(flat(words), wide);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code == ec::malformed_batch);
    // Not for any other reason than their number: one of them is good.
    for (std::uint64_t i = 1; i < count; ++i)
      words[3 + i * 3 + 2] = 0;
    CHECK(check_batch(flat(words), wide));
  }
  SECTION("by elements without bytes") {
    const auto of_nothing = [](std::uint64_t count) {
      return flat({struct_pointer(0, 1), list_pointer(0, of_structs, 0), count << 2});
    };
    const auto some = of_nothing(10'000);
    const auto checked = check_batch(some, wide);
    REQUIRE(checked);
    CHECK(checked->messages == 10'000);
    CHECK(messages_of(some).size() == 10'000);
    CHECK_FALSE(check_batch(of_nothing(900'000), wide));
  }
}

namespace {

struct some_times {
  std::uint32_t position = 0;
  std::int64_t deliver_at = 0;
  std::uint64_t delay = 0;
  std::int64_t expires = 0;
  std::uint64_t ttl = 0;
};

std::string timed_batch(const std::vector<some_times>& times) {
  capnp::MallocMessageBuilder builder;
  auto batch = builder.initRoot<format::Batch>();
  batch.initMessages(3);
  auto list = batch.initTimes(static_cast<unsigned>(times.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setPosition(times[i].position);
    list[i].setDeliverAt(times[i].deliver_at);
    list[i].setDelayMs(times[i].delay);
    list[i].setExpires(times[i].expires);
    list[i].setTtlMs(times[i].ttl);
  }
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

} // namespace

TEST_CASE("as many messages may have a time as a batch may carry", "[nouns]") {
  constexpr unsigned many = 10'000;
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<format::Batch>();
  root.initMessages(many);
  auto list = root.initTimes(many);
  for (unsigned i = 0; i < many; ++i) {
    list[i].setPosition(i);
    list[i].setDelayMs(1'000);
  }
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  const std::string batch{reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
  const auto checked = check_batch(batch, wide);
  REQUIRE(checked);
  CHECK(checked->timed == many);
  CHECK(times_of(batch, {}, {})->size() == many);
  const auto with = with_headers(batch, {{7, {{"seen", "yes"}}}});
  REQUIRE(with);
  CHECK(*times_of(*with, {}, {}) == *times_of(batch, {}, {}));
}

TEST_CASE("times stand at their messages' offsets, spans from the entry's stamp on", "[nouns]") {
  const auto batch = timed_batch({{.position = 0, .deliver_at = 5'000, .ttl = 60'000},
                                  {.position = 2, .delay = 250, .expires = 9'000}});
  const auto checked = check_batch(batch, wide);
  REQUIRE(checked);
  CHECK(checked->messages == 3);
  CHECK(checked->timed == 2);
  const auto at = [](std::int64_t ms) { return wall_time{std::chrono::milliseconds{ms}}; };
  const auto times = times_of(batch, message_offset{100}, at(1'000));
  REQUIRE(times);
  CHECK(*times == timed_messages{{message_offset{100}, {at(5'000), at(61'000)}},
                                 {message_offset{102}, {at(1'250), at(9'000)}}});
}

TEST_CASE("times that contradict each other, or name no message, are refused", "[nouns]") {
  const auto refusal = [](const std::vector<some_times>& times) {
    const auto checked = check_batch(timed_batch(times), wide);
    return checked ? ec::none : checked.error().code;
  };
  constexpr std::uint64_t century = 36'525ull * 24 * 3'600'000;
  CHECK(refusal({{.deliver_at = 1, .delay = 1}}) == ec::bad_argument);
  CHECK(refusal({{.expires = 1, .ttl = 1}}) == ec::bad_argument);
  CHECK(refusal({{.delay = century}}) == ec::bad_argument);
  CHECK(refusal({{.ttl = century}}) == ec::bad_argument);
  CHECK(refusal({{.deliver_at = -1}}) == ec::bad_argument);
  CHECK(refusal({{.expires = std::numeric_limits<std::int64_t>::max()}}) == ec::bad_argument);
  CHECK(refusal({{}}) == ec::bad_argument);
  CHECK(refusal({{.position = 3, .delay = 1}}) == ec::malformed_batch);
  CHECK(refusal({{.position = 1, .delay = 1}, {.position = 1, .delay = 1}}) == ec::malformed_batch);
  CHECK(refusal({{.position = 1, .delay = 1}, {.position = 0, .delay = 1}}) == ec::malformed_batch);
  CHECK(refusal({{.position = 1, .delay = 1}, {.position = 2, .ttl = 1}}) == ec::none);
}

TEST_CASE("messages are joined with headers added, and those of the same name replaced",
          "[nouns]") {
  const auto batch = batch_of(
      {{"k1", {{"a", "1"}, {"id", "old"}, {"b", "2"}, {"id", "older"}}, "x"}, {"k2", {}, "y"}});
  const auto first = extract_message(batch, 0);
  const auto second = extract_message(batch, 1);
  REQUIRE((first && second));
  const auto joined =
      join_messages({*first, *second, *first}, {{{"id", "new"}, {"n", "3"}}, {}, {}});
  REQUIRE(joined);
  REQUIRE(check_batch(*joined, wide));
  const auto messages = messages_of(*joined);
  REQUIRE(messages.size() == 3);
  CHECK(messages[0] == message{"k1", {{"a", "1"}, {"b", "2"}, {"id", "new"}, {"n", "3"}}, "x"});
  CHECK(messages[1] == message{"k2", {}, "y"});
  CHECK(messages[2] == messages_of(batch)[0]);
  const auto bad = join_messages({*first, "garbage"}, {{}, {}});
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == ec::damaged);
}
