// The bytes of the small store's keys and values.
#include "storage/state_codec.hpp"

#include "storage/bytes.hpp"
#include "storage/records_codec.hpp"

namespace waybill::state_key {

std::string of(kind what, const partition_id& partition) {
  std::string key{what};
  byte_writer{key}.partition(partition);
  return key;
}

std::string of_ended(const partition_id& partition, copy_id copy) {
  auto key = of(ended, partition);
  byte_writer{key}.u64(copy.value);
  return key;
}

std::string of_generation(std::uint64_t number) {
  std::string key{generation};
  byte_writer{key}.u64(number);
  return key;
}

std::string of_sequence() { return std::string{sequence}; }

std::string of_record(const std::string& key) { return std::string{record} + key; }

std::string of_dead_letters(const partition_id& partition, copy_id copy, const std::string& group) {
  auto key = of(dead_letter, partition);
  byte_writer out{key};
  out.u64(copy.value);
  key += group;
  out.u8(0); // no name contains it, so no group's keys are another's prefix
  return key;
}

std::string of_dead_letter(const partition_id& partition, copy_id copy, const std::string& group,
                           message_offset offset) {
  auto key = of_dead_letters(partition, copy, group);
  byte_writer{key}.u64(offset.value);
  return key;
}

} // namespace waybill::state_key

namespace waybill {

std::string encode_state(const copy_record& r) {
  std::string bytes;
  byte_writer out{bytes};
  out.u64(r.copy.value);
  out.u64(r.first_sequence);
  out.u64(static_cast<std::uint64_t>(r.began.time_since_epoch().count()));
  return bytes;
}

std::optional<copy_record> decode_copy(std::string_view bytes) {
  byte_reader in{bytes};
  copy_record r;
  r.copy.value = in.u64();
  r.first_sequence = in.u64();
  r.began = wall_time{std::chrono::milliseconds{static_cast<std::int64_t>(in.u64())}};
  return in.whole() ? std::optional{r} : std::nullopt;
}

std::string encode_state(const checkpoint& c) {
  std::string bytes;
  byte_writer out{bytes};
  out.varint(c.needed.size());
  std::uint64_t last = 0;
  for (const auto& range : c.needed) {
    out.difference(last, range.first.value);
    out.difference(range.first.value, range.end.value);
    last = range.end.value;
  }
  bytes += encode(c.state);
  return bytes;
}

std::optional<checkpoint> decode_checkpoint(std::string_view bytes) {
  byte_reader in{bytes};
  checkpoint c;
  std::uint64_t last = 0;
  for (auto count = in.varint(); count > 0 && in.good(); --count) {
    offset_range range;
    range.first.value = in.difference(last);
    range.end.value = last = in.difference(range.first.value);
    c.needed.push_back(range);
  }
  if (!in.good())
    return std::nullopt;
  auto state = decode_partition_snapshot(in.rest());
  if (!state)
    return std::nullopt;
  c.state = std::move(*state);
  return c;
}

std::string encode_state(const dropped_books& d) {
  std::string bytes;
  byte_writer out{bytes};
  out.varint(d.messages);
  out.varint(d.ranges.size());
  for (const auto& range : d.ranges) {
    out.varint(range.entries.first.value);
    out.varint(range.entries.last.value);
    out.varint(range.offsets.first.value);
    out.varint(range.offsets.end.value);
    out.hash(range.before);
    out.hash(range.after);
  }
  return bytes;
}

std::optional<dropped_books> decode_dropped(std::string_view bytes) {
  byte_reader in{bytes};
  dropped_books d;
  d.messages = in.varint();
  for (auto count = in.varint(); count > 0 && in.good(); --count) {
    dropped_range range;
    range.entries.first.value = in.varint();
    range.entries.last.value = in.varint();
    range.offsets.first.value = in.varint();
    range.offsets.end.value = in.varint();
    range.before = in.hash();
    range.after = in.hash();
    d.ranges.push_back(range);
  }
  return in.whole() ? std::optional{std::move(d)} : std::nullopt;
}

std::string encode_state(const generation_record& g) {
  std::string bytes;
  byte_writer out{bytes};
  out.u8(static_cast<std::uint8_t>(g.state));
  out.varint(g.first_sequence);
  out.varint(g.end_sequence);
  out.varint(g.parts.size());
  for (const auto& part : g.parts) {
    out.partition(part.partition);
    out.varint(part.entries.first.value);
    out.varint(part.entries.last.value);
  }
  return bytes;
}

std::optional<generation_record> decode_generation(std::string_view bytes) {
  byte_reader in{bytes};
  generation_record g;
  const auto state = in.u8();
  if (state < 1 || state > 3)
    return std::nullopt;
  g.state = static_cast<generation_state>(state);
  g.first_sequence = in.varint();
  g.end_sequence = in.varint();
  for (auto count = in.varint(); count > 0 && in.good(); --count) {
    generation_part part;
    part.partition = in.partition();
    part.entries.first.value = in.varint();
    part.entries.last.value = in.varint();
    g.parts.push_back(part);
  }
  return in.whole() ? std::optional{std::move(g)} : std::nullopt;
}

} // namespace waybill
