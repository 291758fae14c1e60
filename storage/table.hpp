// The table of contents of a generation: which entry of which partition lies under which sequence
// number, cut into pages that are loaded when they are needed. Bytes: docs/format.md.
// Source: docs/design.md, section 5 ("Index").
#pragma once

#include "storage/entry.hpp"
#include "storage/error.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace waybill {

/// All that must be known of an entry without reading it.
struct table_entry {
  log_index index;
  std::uint64_t sequence = 0; ///< its key in the generation's database
  epoch written;
  message_offset first_offset;
  std::uint32_t message_count = 0;
  std::uint32_t bytes = 0; ///< encoded, header and body
  hash128 previous;
  hash128 hash;
};
[[nodiscard]] table_entry describe(const entry& e, std::uint64_t sequence);
[[nodiscard]] inline message_offset end_offset(const table_entry& e) {
  return message_offset{e.first_offset.value + e.message_count};
}

/// Entries of one partition in one generation, ascending by index, each once.
using page = std::vector<table_entry>;
inline constexpr std::size_t page_entries_max = 4096;

/// What is kept in memory of every page.
struct page_summary {
  std::uint32_t number = 0; ///< of the page in its generation
  index_range entries;
  offset_range offsets; ///< from the first entry's to the end of the last one's messages
  std::uint64_t last_sequence = 0;
  std::uint32_t count = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  hash128 before;  ///< the chain just before the first entry
  hash128 after;   ///< the chain at the last one
  hash128 content; ///< of the page's bytes
  [[nodiscard]] bool contiguous() const {
    return entries.last.value - entries.first.value + 1 == count;
  }
};

/// A whole table without its pages' entries.
struct table_of_contents {
  std::uint64_t last_sequence = 0; ///< the highest that the generation ever gave out
  std::map<partition_id, std::vector<page_summary>> partitions;
};

[[nodiscard]] std::string encode_page(std::span<const table_entry> entries);
[[nodiscard]] page_summary summarise(std::span<const table_entry> entries, std::uint32_t number,
                                     std::string_view encoded);
/// @errors `damaged`: not the page that was summarised
[[nodiscard]] result<page> decode_page(std::string_view encoded, const page_summary& expected);
[[nodiscard]] std::string encode_table(const table_of_contents& table);
/// @errors `damaged`
[[nodiscard]] result<table_of_contents> decode_table(std::string_view encoded);

/// A partition's entries in the active generation. Those that were written again out of an emptied
/// generation lie apart, for they come in any order.
class active_table {
public:
  void append(const table_entry& e) { fresh_.push_back(e); } ///< @pre its index is the highest
  void insert_moved(const table_entry& e);
  /// Takes entries in any order; of two with one index the newer sequence number stays.
  void assign(std::vector<table_entry> entries);
  /// Removes all after `keep`. @returns their sequence numbers
  std::vector<std::uint64_t> cut_after(log_index keep);
  /// The first entry at or after `from`; null: none.
  [[nodiscard]] const table_entry* at_or_after(log_index from) const;
  [[nodiscard]] bool contains(log_index index) const;
  /// The entry with this message; null: not here.
  [[nodiscard]] const table_entry* with_offset(message_offset offset) const;
  /// Both parts, each ascending.
  [[nodiscard]] const std::vector<table_entry>& fresh() const { return fresh_; }
  [[nodiscard]] const std::vector<table_entry>& moved() const { return moved_; }
  [[nodiscard]] std::vector<table_entry> all() const;
  [[nodiscard]] std::size_t size() const { return fresh_.size() + moved_.size(); }

private:
  std::vector<table_entry> fresh_;
  std::vector<table_entry> moved_;
};

} // namespace waybill
