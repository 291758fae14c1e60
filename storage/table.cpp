// Pages and tables as bytes, and the table of the active generation.
#include "storage/table.hpp"

#include "storage/assert.hpp"
#include "storage/bytes.hpp"

#include <algorithm>
#include <iterator>

namespace waybill {
namespace {

constexpr std::uint8_t table_version = 1;

auto find_at_or_after(const std::vector<table_entry>& entries, log_index from) {
  return std::ranges::lower_bound(entries, from, {}, &table_entry::index);
}

const table_entry* find_offset(const std::vector<table_entry>& entries, message_offset offset) {
  // Offsets never fall along a log, so the first entry that ends behind `offset` is the only
  // candidate.
  const auto found = std::ranges::upper_bound(entries, offset, {}, end_offset);
  return found != entries.end() && found->first_offset <= offset ? &*found : nullptr;
}

void encode_summary(byte_writer& out, const page_summary& s) {
  out.varint(s.number);
  out.varint(s.entries.first.value);
  out.varint(s.entries.last.value);
  out.varint(s.offsets.first.value);
  out.varint(s.offsets.end.value);
  out.varint(s.last_sequence);
  out.varint(s.count);
  out.varint(s.messages);
  out.varint(s.bytes);
  out.hash(s.before);
  out.hash(s.after);
  out.hash(s.content);
}

page_summary decode_summary(byte_reader& in) {
  page_summary s;
  s.number = static_cast<std::uint32_t>(in.varint());
  s.entries.first.value = in.varint();
  s.entries.last.value = in.varint();
  s.offsets.first.value = in.varint();
  s.offsets.end.value = in.varint();
  s.last_sequence = in.varint();
  s.count = static_cast<std::uint32_t>(in.varint());
  s.messages = in.varint();
  s.bytes = in.varint();
  s.before = in.hash();
  s.after = in.hash();
  s.content = in.hash();
  return s;
}

} // namespace

table_entry describe(const entry& e, std::uint64_t sequence) {
  return {e.index,         sequence,
          e.written,       e.first_offset,
          e.message_count, static_cast<std::uint32_t>(entry_header_bytes + e.body.size()),
          e.previous,      e.hash};
}

std::string encode_page(std::span<const table_entry> entries) {
  std::string bytes;
  bytes.reserve(16 + entries.size() * 32);
  byte_writer out{bytes};
  out.varint(entries.size());
  table_entry last{};
  for (const auto& e : entries) {
    out.difference(last.index.value, e.index.value);
    out.difference(last.sequence, e.sequence);
    out.difference(last.written.value, e.written.value);
    out.difference(end_offset(last).value, e.first_offset.value);
    out.varint(e.message_count);
    out.varint(e.bytes);
    const bool linked = e.previous == last.hash; // the common case costs one byte, not sixteen
    out.u8(linked ? 1 : 0);
    if (!linked)
      out.hash(e.previous);
    out.hash(e.hash);
    last = e;
  }
  return bytes;
}

page_summary summarise(std::span<const table_entry> entries, std::uint32_t number,
                       std::string_view encoded) {
  WAYBILL_ASSERT(!entries.empty());
  page_summary s;
  s.number = number;
  s.entries = {entries.front().index, entries.back().index};
  s.offsets = {entries.front().first_offset, end_offset(entries.back())};
  s.count = static_cast<std::uint32_t>(entries.size());
  for (const auto& e : entries) {
    s.last_sequence = std::max(s.last_sequence, e.sequence);
    s.messages += e.message_count;
    s.bytes += e.bytes;
  }
  s.before = entries.front().previous;
  s.after = entries.back().hash;
  s.content = hash_of(encoded);
  return s;
}

result<page> decode_page(std::string_view encoded, const page_summary& expected) {
  if (hash_of(encoded) != expected.content)
    return failure{ec::damaged, "the checksum of a page does not match"};
  byte_reader in{encoded};
  const auto count = in.varint();
  if (count != expected.count)
    return failure{ec::damaged, "a page has another number of entries than its table says"};
  page entries;
  entries.reserve(count);
  table_entry last{};
  for (std::uint64_t i = 0; i < count && in.good(); ++i) {
    table_entry e;
    e.index.value = in.difference(last.index.value);
    e.sequence = in.difference(last.sequence);
    e.written.value = in.difference(last.written.value);
    e.first_offset.value = in.difference(end_offset(last).value);
    e.message_count = static_cast<std::uint32_t>(in.varint());
    e.bytes = static_cast<std::uint32_t>(in.varint());
    e.previous = in.u8() == 1 ? last.hash : in.hash();
    e.hash = in.hash();
    if (e.index <= last.index)
      return failure{ec::damaged, "a page's entries are not in order"};
    entries.push_back(e);
    last = e;
  }
  if (!in.whole() || entries.size() != count)
    return failure{ec::damaged, "a page ends too early or too late"};
  return entries;
}

std::string encode_table(const table_of_contents& table) {
  std::string bytes;
  byte_writer out{bytes};
  out.u8(table_version);
  out.varint(table.last_sequence);
  out.varint(table.partitions.size());
  for (const auto& [partition, pages] : table.partitions) {
    out.partition(partition);
    out.varint(pages.size());
    for (const auto& each : pages)
      encode_summary(out, each);
  }
  out.hash(hash_of(bytes));
  return bytes;
}

result<table_of_contents> decode_table(std::string_view encoded) {
  constexpr std::size_t hash_bytes = 16;
  if (encoded.size() < hash_bytes)
    return failure{ec::damaged, "the table of contents is too short"};
  const auto content = encoded.substr(0, encoded.size() - hash_bytes);
  if (byte_reader{encoded.substr(content.size())}.hash() != hash_of(content))
    return failure{ec::damaged, "the checksum of the table of contents does not match"};
  byte_reader in{content};
  if (in.u8() != table_version)
    return failure{ec::damaged, "the table of contents has an unknown version"};
  table_of_contents table;
  table.last_sequence = in.varint();
  for (auto partitions = in.varint(); partitions > 0 && in.good(); --partitions) {
    auto& pages = table.partitions[in.partition()];
    for (auto count = in.varint(); count > 0 && in.good(); --count)
      pages.push_back(decode_summary(in));
  }
  if (!in.whole())
    return failure{ec::damaged, "the table of contents ends too early or too late"};
  return table;
}

void active_table::insert_moved(const table_entry& e) {
  const auto place = find_at_or_after(moved_, e.index);
  WAYBILL_ASSERT(place == moved_.end() || place->index != e.index);
  moved_.insert(place, e);
}

void active_table::assign(std::vector<table_entry> entries) {
  std::ranges::sort(entries, [](const table_entry& a, const table_entry& b) {
    return a.index != b.index ? a.index < b.index : a.sequence > b.sequence;
  });
  const auto repeats = std::ranges::unique(entries, {}, &table_entry::index);
  entries.erase(repeats.begin(), repeats.end());
  fresh_ = std::move(entries);
  moved_.clear();
}

std::vector<std::uint64_t> active_table::cut_after(log_index keep) {
  std::vector<std::uint64_t> cut;
  for (; !fresh_.empty() && fresh_.back().index > keep; fresh_.pop_back())
    cut.push_back(fresh_.back().sequence);
  WAYBILL_ASSERT(moved_.empty() || moved_.back().index <= keep); // only what is committed is moved
  return cut;
}

const table_entry* active_table::at_or_after(log_index from) const {
  const auto fresh = find_at_or_after(fresh_, from);
  const auto moved = find_at_or_after(moved_, from);
  if (fresh == fresh_.end())
    return moved == moved_.end() ? nullptr : &*moved;
  return moved != moved_.end() && moved->index < fresh->index ? &*moved : &*fresh;
}

bool active_table::contains(log_index index) const {
  const auto* found = at_or_after(index);
  return found && found->index == index;
}

const table_entry* active_table::with_offset(message_offset offset) const {
  const auto* found = find_offset(fresh_, offset);
  return found ? found : find_offset(moved_, offset);
}

std::vector<table_entry> active_table::all() const {
  std::vector<table_entry> both;
  both.reserve(size());
  std::ranges::merge(moved_, fresh_, std::back_inserter(both), {}, &table_entry::index,
                     &table_entry::index);
  return both;
}

} // namespace waybill
