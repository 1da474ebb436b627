// DotCanvas: dots, lines and marks drawn with characters: in braille, or in ASCII where that cannot
// be shown. What the terminal's plots are drawn on, and the pieces of their axes.
#pragma once

#include <string>
#include <vector>

#include <fatwood/report/terminal.h>

namespace fatwood {

/// A grid of characters of 2 × 4 dots each; dot (0, 0) is top left.
class DotCanvas {
 public:
  DotCanvas(int columns, int rows)
      : columns_(columns), rows_(rows), cells_(static_cast<std::size_t>(columns * rows)) {}

  int width() const { return 2 * columns_; }
  int height() const { return 4 * rows_; }

  /// What lies outside is not drawn.
  void dot(int x, int y);
  void line(int x0, int y0, int x1, int y1);
  void mark(int x, int y);

  /// Row `row` of characters, without trailing blanks.
  std::string row_text(int row, TerminalTraits traits) const;

 private:
  struct Cell {
    int dots = 0;
    bool marked = false;
  };

  Cell& cell(int column, int row) {
    return cells_[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                  static_cast<std::size_t>(column)];
  }
  const Cell& cell(int column, int row) const {
    return cells_[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                  static_cast<std::size_t>(column)];
  }
  Tint tint_at(int column, int row) const;
  std::string character(int column, int row, bool unicode) const;

  int columns_;
  int rows_;
  std::vector<Cell> cells_;
};

inline constexpr int kAxisColumns = 7;  ///< left of a canvas, for the numbers of the vertical axis

/// The canvas with `high` and `low` at the left of its first and last row.
std::vector<std::string> with_vertical_axis(const DotCanvas& canvas, double high, double low,
                                            TerminalTraits traits);

/// The line below a canvas of `columns`: what stands at its left end, in the middle and at its
/// right.
std::string horizontal_axis(const std::string& left, const std::string& middle,
                            const std::string& right, int columns, TerminalTraits traits);

}  // namespace fatwood
