// The batch's bytes: built in one pass into an array of the exact size, read with every pointer
// checked.
#include "net/client/batch.hpp"

#include "storage/assert.hpp"
#include "storage/format.capnp.h"

#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <cstring>

namespace waybill::client_parts {
namespace {

constexpr std::size_t word_bytes = sizeof(capnp::word);

constexpr std::size_t words_of_times = 5;
constexpr std::size_t words_of_tag = 1;

std::size_t words_for(std::size_t bytes) { return (bytes + word_bytes - 1) / word_bytes; }

kj::ArrayPtr<const kj::byte> bytes_in(const std::string& s) {
  return kj::arrayPtr(reinterpret_cast<const kj::byte*>(s.data()), s.size());
}

std::string copy_of(capnp::Data::Reader data) {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

void write_message(format::Message::Builder to, const outgoing_message& from) {
  if (!from.key.empty())
    to.setKey(bytes_in(from.key));
  if (!from.headers.empty()) {
    auto list = to.initHeaders(static_cast<unsigned>(from.headers.size()));
    for (unsigned i = 0; i < list.size(); ++i) {
      const auto& [name, value] = from.headers[i];
      list[i].setName(capnp::Text::Reader(name.c_str(), name.size()));
      if (!value.empty())
        list[i].setValue(bytes_in(value));
    }
  }
  if (!from.body.empty())
    to.setBody(bytes_in(from.body));
}

void write_times(format::MessageTimes::Builder to, unsigned position,
                 const outgoing_message& from) {
  to.setPosition(position);
  if (from.deliver_at)
    to.setDeliverAt(from.deliver_at->time_since_epoch().count());
  if (from.delay)
    to.setDelayMs(static_cast<std::uint64_t>(from.delay->count()));
  if (from.expires)
    to.setExpires(from.expires->time_since_epoch().count());
  if (from.time_to_live)
    to.setTtlMs(static_cast<std::uint64_t>(from.time_to_live->count()));
}

read_message read(format::Message::Reader from) {
  read_message m;
  m.key = copy_of(from.getKey());
  m.body = copy_of(from.getBody());
  const auto list = from.getHeaders();
  m.content_headers.reserve(list.size());
  for (const auto each : list)
    m.content_headers.emplace_back(std::string{each.getName().cStr(), each.getName().size()},
                                   copy_of(each.getValue()));
  return m;
}

/// Opens the bytes in place if they are aligned, else in a copy, with a bound on what is read in
/// all: many pointers to the same bytes do not make a small message large.
template <class Read>
auto read_flat(kj::ArrayPtr<const kj::byte> bytes, Read how)
    -> result<decltype(how(std::declval<capnp::MessageReader&>()))> {
  const auto count = bytes.size() / word_bytes;
  if (count == 0 || bytes.size() % word_bytes != 0)
    return failure{ec::malformed_batch, "the node sent " + std::to_string(bytes.size()) +
                                            " bytes as a batch: that is none"};
  kj::Array<capnp::word> copy;
  const auto* words = reinterpret_cast<const capnp::word*>(bytes.begin());
  if (reinterpret_cast<std::uintptr_t>(words) % alignof(std::uint64_t) != 0) {
    copy = kj::heapArray<capnp::word>(count);
    std::memcpy(copy.begin(), bytes.begin(), bytes.size());
    words = copy.begin();
  }
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 2 * count + 1'024;
  options.nestingLimit = 16;
  try {
    capnp::FlatArrayMessageReader reader{kj::arrayPtr(words, count), options};
    return how(reader);
  } catch (const kj::Exception& e) {
    return failure{ec::malformed_batch, std::string{"the node sent a batch that cannot be read: "} +
                                            e.getDescription().cStr()};
  }
}

result<std::vector<read_message>> read_plain(kj::ArrayPtr<const kj::byte> batch,
                                             const std::vector<std::uint32_t>& positions) {
  return read_flat(batch, [&positions](capnp::MessageReader& reader) {
    const auto list = reader.getRoot<format::Batch>().getMessages();
    std::vector<read_message> found;
    found.reserve(std::min<std::size_t>(positions.size(), list.size()));
    for (const auto position : positions) {
      KJ_REQUIRE(position < list.size(), "it has no message at this place", position, list.size());
      found.push_back(read(list[position]));
    }
    return found;
  });
}

} // namespace

std::size_t bytes_of(const outgoing_message& m) {
  auto bytes = m.key.size() + m.body.size();
  for (const auto& [name, value] : m.headers)
    bytes += name.size() + value.size();
  return bytes;
}

std::size_t words_of(const outgoing_message& m) {
  // A Message is three pointers; a list of structs has a tag; a Text ends with a zero.
  auto words = 3 + words_for(m.key.size()) + words_for(m.body.size());
  if (!m.headers.empty())
    words += words_of_tag;
  for (const auto& [name, value] : m.headers)
    words += 2 + words_for(name.size() + 1) + words_for(value.size());
  return m.has_times() ? words + words_of_times + words_of_tag : words;
}

kj::Array<capnp::word> encode_batch(const std::vector<pending_message>& messages,
                                    std::size_t words) {
  const auto timed = static_cast<unsigned>(
      std::ranges::count_if(messages, [](const auto& each) { return each.message.has_times(); }));
  if (timed > 0)
    words -= (timed - 1) * words_of_tag; // one for all of them
  auto flat = kj::heapArray<capnp::word>(words);
  std::memset(flat.begin(), 0, words * word_bytes);
  capnp::FlatMessageBuilder builder{flat.slice(1, words)};
  auto batch = builder.initRoot<format::Batch>();
  auto list = batch.initMessages(static_cast<unsigned>(messages.size()));
  for (unsigned i = 0; i < list.size(); ++i)
    write_message(list[i], messages[i].message);
  if (timed > 0) {
    auto times = batch.initTimes(timed);
    for (unsigned i = 0, next = 0; next < timed; ++i)
      if (messages[i].message.has_times())
        write_times(times[next++], i, messages[i].message);
  }
  builder.requireFilled();
  // The table of segments: one of them (its count less one is 0), and its size in words.
  const auto size = static_cast<std::uint32_t>(words - 1);
  std::memcpy(reinterpret_cast<kj::byte*>(flat.begin()) + sizeof size, &size, sizeof size);
  return flat;
}

kj::Array<const kj::byte> pack_batch(kj::Array<capnp::word> batch, batch_compressor* with) {
  if (with) {
    const auto plain = batch.asChars();
    if (auto frame = with->compress({plain.begin(), plain.size()}))
      return kj::heapArray(bytes_in(*frame));
  }
  const kj::ArrayPtr<const kj::byte> bytes = batch.asBytes();
  return bytes.attach(kj::mv(batch));
}

result<std::vector<read_message>> read_batch(kj::ArrayPtr<const kj::byte> batch,
                                             const std::vector<std::uint32_t>& positions) {
  const auto chars = batch.asChars();
  if (const std::string_view bytes{chars.begin(), chars.size()}; is_compressed(bytes)) {
    const auto plain = decompress_batch(bytes, batch_bytes_most);
    return plain ? read_plain(bytes_in(*plain), positions) : plain.error();
  }
  return read_plain(batch, positions);
}

result<read_message> read_single(kj::ArrayPtr<const kj::byte> bytes) {
  return read_flat(
      bytes, [](capnp::MessageReader& reader) { return read(reader.getRoot<format::Message>()); });
}

} // namespace waybill::client_parts
