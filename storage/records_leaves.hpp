// What the bytes of records are made of: text, times, names, ranges, positions, each checked for
// what its type promises. For the codecs of records alone.
#pragma once

#include "storage/flat_message.hpp"
#include "storage/records.hpp"

#include <string>

namespace waybill::detail {

inline kj::StringPtr text_of(const std::string& s) { return {s.c_str(), s.size()}; }
inline std::string string_of(capnp::Text::Reader t) { return {t.begin(), t.size()}; }
inline std::string bytes_of(capnp::Data::Reader d) {
  return {reinterpret_cast<const char*>(d.begin()), d.size()};
}

inline std::int64_t stamp_of(wall_time t) { return t.time_since_epoch().count(); }
inline wall_time time_of(std::int64_t stamp) { return wall_time{milliseconds{stamp}}; }

inline std::string name_of(capnp::Text::Reader t) {
  auto name = string_of(t);
  if (!is_valid_name(name))
    throw bad_content{"a name in it is none"};
  return name;
}

inline void put(format::OffsetRange::Builder out, const offset_range& r) {
  out.setFirst(r.first.value);
  out.setEnd(r.end.value);
}
inline offset_range take(format::OffsetRange::Reader in) {
  const offset_range r{message_offset{in.getFirst()}, message_offset{in.getEnd()}};
  if (r.end < r.first)
    throw bad_content{"a range of offsets ends before it begins"};
  return r;
}

inline void put(format::Position::Builder out, const log_position& p) {
  out.setIndex(p.index.value);
  out.setEpoch(p.written.value);
  out.setHashHigh(p.hash.high);
  out.setHashLow(p.hash.low);
}
inline log_position take(format::Position::Reader in) {
  return {log_index{in.getIndex()}, epoch{in.getEpoch()}, {in.getHashHigh(), in.getHashLow()}};
}

} // namespace waybill::detail
