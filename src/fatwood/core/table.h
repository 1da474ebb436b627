// Tables as text: columns aligned for a terminal, or Markdown. Every table that fatwood prints
// (epochs, summary, models, reproduce) is one of these, so that they look alike and can be held
// against approved files.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fatwood {

enum class Align { left, right };

struct Column {
  std::string heading;
  Align align = Align::left;
  std::size_t min_width = 0;  ///< for tables whose rows are printed as they come
};

/// Rows of cells under headings. Widths count code points, not bytes.
class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Throws Error{internal} when the number of cells is not the number of columns.
  void add(std::vector<std::string> cells);

  std::size_t rows() const { return rows_.size(); }
  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::string>& row(std::size_t i) const { return rows_.at(i); }

  /// Heading and rows, columns two spaces apart, no trailing blanks, a newline after each line.
  std::string plain() const;

  /// The heading's line and row `i`'s alone, for a table that is printed as its rows come.
  std::string plain_heading() const;
  std::string plain_row(std::size_t i) const;

  /// `| a | b |`, `| -- | -- |`, then the rows; an empty cell is a single blank. A `|` inside a
  /// cell is escaped.
  std::string markdown() const;

 private:
  std::vector<std::size_t> widths() const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Number of code points of UTF-8 `text`: the columns it takes for the characters we print.
std::size_t display_width(std::string_view text);

}  // namespace fatwood
