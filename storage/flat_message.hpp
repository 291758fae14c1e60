// Between bytes and Cap'n Proto: one flat array in, one flat array out. For the codecs
// and their own headers (records_codec, transfer_codec, batch_codec, records_leaves): the one place
// where a header of ours names Cap'n Proto. Nobody else includes it.
#pragma once

#include "storage/error.hpp"
#include "storage/format.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>
#include <kj/io.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace waybill::detail {

/// Thrown and caught within the codecs: the bytes are well formed, their content is not.
struct bad_content : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A flat array that is read in place where it is aligned for Cap'n Proto, else through a copy.
/// Construction throws when the bytes are no flat array, whole and alone.
class flat_message {
public:
  explicit flat_message(std::string_view bytes)
      : bytes_{bytes}, words_{aligned(bytes)}, reader_{words_, options_for(words_.size())} {
    if (bytes.empty())
      throw bad_content{"it has no bytes"};
    if (bytes.size() % sizeof(capnp::word) != 0)
      throw bad_content{"its size of " + std::to_string(bytes.size()) + " is no multiple of 8"};
    if (reader_.getEnd() != words_.end())
      throw bad_content{"there are bytes behind its end"};
  }

  template <class Schema>
  typename Schema::Reader root() {
    return reader_.getRoot<Schema>();
  }

  /// The same bytes in the array that was given, whether or not they were read from a copy of it.
  [[nodiscard]] std::string_view in_place(kj::ArrayPtr<const kj::byte> part) const {
    if (part.size() == 0)
      return {};
    const auto at = part.begin() - words_.asBytes().begin();
    return bytes_.substr(static_cast<std::size_t>(at), part.size());
  }

private:
  /// A pointer may lead anywhere, and many to the same place: so what is read in all is bounded by
  /// the size of the bytes, and a small message cannot stand for a large one. The constant leaves
  /// room for lists whose elements have no bytes, which count a word each.
  static capnp::ReaderOptions options_for(std::size_t words) {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = words + 16 * 1024;
    options.nestingLimit = 16; // deeper than any of our schemas goes
    return options;
  }

  kj::ArrayPtr<const capnp::word> aligned(std::string_view bytes) {
    const auto count = bytes.size() / sizeof(capnp::word);
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(capnp::word) == 0)
      return kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()), count);
    copy_ = kj::heapArray<capnp::word>(count);
    std::memcpy(copy_.begin(), bytes.data(), count * sizeof(capnp::word));
    return copy_.asPtr();
  }

  std::string_view bytes_;
  kj::Array<capnp::word>
      copy_; // empty when the bytes are aligned; before `words_`, which may use it
  kj::ArrayPtr<const capnp::word> words_;
  capnp::FlatArrayMessageReader reader_;
};

/// What `read` makes of the bytes, or `code` with `what` and the reason when they are bad.
template <class T, class Read>
result<T> read_flat(std::string_view bytes, ec code, const char* what, Read read) {
  try {
    flat_message message{bytes};
    return read(message);
  } catch (const kj::Exception& e) {
    return failure{code, std::string{what} + " cannot be read: " + e.getDescription().cStr()};
  } catch (const bad_content& e) {
    return failure{code, std::string{what} + " cannot be read: " + e.what()};
  }
}

/// The message as one flat array.
inline std::string flatten(capnp::MessageBuilder& message) {
  std::string out(capnp::computeSerializedSizeInWords(message) * sizeof(capnp::word), '\0');
  kj::ArrayOutputStream stream{kj::arrayPtr(reinterpret_cast<kj::byte*>(out.data()), out.size())};
  capnp::writeMessage(stream, message);
  return out;
}

inline kj::ArrayPtr<const kj::byte> data_of(std::string_view bytes) {
  return kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size());
}

} // namespace waybill::detail
