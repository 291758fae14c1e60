// Frames around the records of the small store, and the names of partitions in messages to people.
#include "storage/bytes.hpp"

#include "storage/entry.hpp"

#include <array>
#include <cstdio>

namespace waybill {
namespace {

constexpr std::uint8_t frame_version = 1;

std::uint64_t checksum(std::string_view key, std::string_view content) {
  std::string both;
  both.reserve(8 + key.size() + content.size());
  byte_writer out{both};
  out.text(key); // the key too: a value that lies under another key is no value
  both.append(content);
  return hash_of(both).low;
}

} // namespace

std::string framed(std::string_view key, std::string_view content) {
  std::string frame;
  frame.reserve(9 + content.size());
  byte_writer out{frame};
  out.u8(frame_version);
  out.u64(checksum(key, content));
  frame.append(content);
  return frame;
}

bool unframe(std::string_view key, std::string_view frame, std::string_view& content) {
  byte_reader in{frame};
  const auto version = in.u8();
  const auto sum = in.u64();
  if (!in.good() || version != frame_version || sum != checksum(key, in.rest()))
    return false;
  content = in.rest();
  return true;
}

std::string name_of(const partition_id& partition) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%016llx#%u",
                static_cast<unsigned long long>(partition.topic.value), partition.number);
  return text.data();
}

} // namespace waybill
