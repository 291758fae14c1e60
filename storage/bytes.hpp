// Writing and reading the small records that only the store knows: tables of contents, checkpoints'
// frames, keys. Integers in keys are big-endian, so that keys sort as numbers do.
#pragma once

#include "storage/types.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace waybill {

/// Appends to a string that outlives it.
class byte_writer {
public:
  explicit byte_writer(std::string& out) : out_{out} {}
  void u8(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void u32(std::uint32_t value) { big_endian(value, 4); }
  void u64(std::uint64_t value) { big_endian(value, 8); }
  /// Seven bits a byte, lowest first: small numbers are short.
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      u8(static_cast<std::uint8_t>(value | 0x80));
    u8(static_cast<std::uint8_t>(value));
  }
  /// `to - from`, modulo 2^64, small in either direction.
  void difference(std::uint64_t from, std::uint64_t to) {
    const std::uint64_t d = to - from;
    varint((d << 1) ^ (0 - (d >> 63)));
  }
  void hash(const hash128& value) {
    u64(value.high);
    u64(value.low);
  }
  void partition(const partition_id& value) {
    u64(value.topic.value);
    u32(value.number);
  }
  void text(std::string_view value) {
    varint(value.size());
    out_.append(value);
  }

private:
  void big_endian(std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i)
      u8(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  std::string& out_;
};

/// Reads what `byte_writer` wrote. Past the end everything reads as zero and `good` is false.
class byte_reader {
public:
  explicit byte_reader(std::string_view bytes) : rest_{bytes} {}
  [[nodiscard]] bool good() const { return good_; }
  /// All was read, and nothing was missing.
  [[nodiscard]] bool whole() const { return good_ && rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  std::uint8_t u8() {
    if (rest_.empty()) {
      good_ = false;
      return 0;
    }
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(big_endian(4)); }
  std::uint64_t u64() { return big_endian(8); }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = u8();
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0)
        return value;
    }
    good_ = false;
    return 0;
  }
  std::uint64_t difference(std::uint64_t from) {
    const auto z = varint();
    return from + ((z >> 1) ^ (0 - (z & 1)));
  }
  hash128 hash() {
    const auto high = u64();
    return {high, u64()};
  }
  partition_id partition() {
    const topic_id topic{u64()};
    return {topic, u32()};
  }
  std::string_view text() {
    const auto size = varint();
    if (size > rest_.size()) {
      good_ = false;
      return {};
    }
    const auto value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }

private:
  std::uint64_t big_endian(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value = value << 8 | u8();
    return value;
  }
  std::string_view rest_;
  bool good_ = true;
};

/// A frame around a record: version, checksum over `key` and the record, the record.
[[nodiscard]] std::string framed(std::string_view key, std::string_view content);
/// The record in a frame; nothing when it is not the frame of this key.
[[nodiscard]] bool unframe(std::string_view key, std::string_view frame, std::string_view& content);

/// A partition as the store names it to people: it knows no topic's name.
[[nodiscard]] std::string name_of(const partition_id& partition);

} // namespace waybill
