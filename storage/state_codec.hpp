// Keys and values of the small store (storage/state_db), as bytes. Layout: docs/format.md.
#pragma once

#include "storage/state_db.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace waybill::state_key {

/// The first byte of a key says what it is of; numbers on disk keep their meaning.
enum kind : char {
  copy = 'c',
  promise = 'e',
  checkpoint = 'k',
  dropped = 'd',
  dead_letter = 'l',
  ended = 'x',
  generation = 'g',
  sequence = 's',
  record = 'r',
};
[[nodiscard]] std::string of(kind what, const partition_id& partition);
[[nodiscard]] std::string of_ended(const partition_id& partition, copy_id copy);
[[nodiscard]] std::string of_generation(std::uint64_t number);
[[nodiscard]] std::string of_sequence();
[[nodiscard]] std::string of_record(const std::string& key);
/// All dead letters of a group; an offset follows.
[[nodiscard]] std::string of_dead_letters(const partition_id& partition, copy_id copy,
                                          const std::string& group);
[[nodiscard]] std::string of_dead_letter(const partition_id& partition, copy_id copy,
                                         const std::string& group, message_offset offset);

} // namespace waybill::state_key

namespace waybill {

[[nodiscard]] std::string encode_state(const copy_record& r);
[[nodiscard]] std::string encode_state(const checkpoint& c);
[[nodiscard]] std::string encode_state(const dropped_books& d);
[[nodiscard]] std::string encode_state(const generation_record& g);
/// Nothing: not such a value.
[[nodiscard]] std::optional<copy_record> decode_copy(std::string_view bytes);
[[nodiscard]] std::optional<checkpoint> decode_checkpoint(std::string_view bytes);
[[nodiscard]] std::optional<dropped_books> decode_dropped(std::string_view bytes);
[[nodiscard]] std::optional<generation_record> decode_generation(std::string_view bytes);

} // namespace waybill
