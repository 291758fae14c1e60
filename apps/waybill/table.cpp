// See table.hpp.
#include "apps/waybill/table.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <string_view>

namespace waybill::cli {

namespace {

/// Characters, not bytes: what continues a UTF-8 character takes no room.
std::size_t width(std::string_view cell) {
  return static_cast<std::size_t>(std::count_if(cell.begin(), cell.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

} // namespace

table::table(std::vector<column> columns) : columns_{std::move(columns)} {}

void table::add(std::vector<std::string> cells) {
  WAYBILL_ASSERT(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t widest = width(columns_[i].title);
    for (const auto& row : rows_)
      widest = std::max(widest, width(row[i]));
    widths.push_back(widest);
  }
  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string blanks(widths[i] - width(cell), ' ');
      text += i == 0 ? "" : "  ";
      text += columns_[i].side == align::right ? blanks + cell : cell + blanks;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_)
    line([&](std::size_t i) -> const std::string& { return row[i]; });
  return out;
}

} // namespace waybill::cli
