// A table for people: columns aligned, words to the left, numbers to the right.
#pragma once

#include <string>
#include <vector>

namespace waybill::cli {

enum class align { left, right };

class table {
public:
  struct column {
    std::string title;
    align side = align::left;
  };
  explicit table(std::vector<column> columns);
  /// @pre one cell per column
  void add(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
  /// The title line and the rows, each with its newline; no blanks at the ends of lines.
  [[nodiscard]] std::string text() const;

private:
  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

} // namespace waybill::cli
