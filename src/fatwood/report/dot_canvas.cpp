#include <algorithm>
#include <array>
#include <cstdlib>

#include <fatwood/core/table.h>
#include <fatwood/report/dot_canvas.h>
#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

std::string label(double value) {
  const std::string text = narrow_number(value, kAxisColumns - 1);
  return std::string(kAxisColumns - 1 - text.size(), ' ') + text + " ";
}

}  // namespace

void DotCanvas::dot(int x, int y) {
  if (x < 0 || y < 0 || x >= width() || y >= height()) return;
  // Braille numbers its dots down the left column, down the right one, then the bottom row.
  constexpr std::array<std::array<int, 2>, 4> kBits = {{{0, 3}, {1, 4}, {2, 5}, {6, 7}}};
  cell(x / 2, y / 4).dots |=
      1 << kBits[static_cast<std::size_t>(y % 4)][static_cast<std::size_t>(x % 2)];
}

void DotCanvas::line(int x0, int y0, int x1, int y1) {
  const int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
  for (int i = 0; i <= steps; ++i) dot(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
}

void DotCanvas::mark(int x, int y) {
  if (x >= 0 && y >= 0 && x < width() && y < height()) cell(x / 2, y / 4).marked = true;
}

std::string DotCanvas::row_text(int row, TerminalTraits traits) const {
  std::string text;
  int end = columns_;  // without trailing blanks
  while (end > 0 && tint_at(end - 1, row) == Tint::none) --end;
  for (int column = 0; column < end;) {
    // Neighbours of one tint share its escape sequences.
    const Tint tint = tint_at(column, row);
    std::string run;
    const auto joins = [&](int at) {
      const Tint next = tint_at(at, row);
      return next == tint || (tint != Tint::none && next == Tint::none);
    };
    for (; column < end && joins(column); ++column) run += character(column, row, traits.unicode);
    text += tinted(run, tint, traits.colour);
  }
  return text;
}

Tint DotCanvas::tint_at(int column, int row) const {
  const Cell& at = cell(column, row);
  return at.marked ? Tint::evaluation : at.dots != 0 ? Tint::train : Tint::none;
}

std::string DotCanvas::character(int column, int row, bool unicode) const {
  const Cell& at = cell(column, row);
  if (at.marked) return unicode ? "●" : "o";
  if (at.dots == 0) return " ";
  if (!unicode) return ".";
  // U+2800 + dots, in UTF-8.
  return {static_cast<char>(0xE2), static_cast<char>(0xA0 | at.dots >> 6),
          static_cast<char>(0x80 | (at.dots & 0x3F))};
}

std::vector<std::string> with_vertical_axis(const DotCanvas& canvas, double high, double low,
                                            TerminalTraits traits) {
  std::vector<std::string> lines;
  const int rows = canvas.height() / 4;
  for (int row = 0; row < rows; ++row) {
    const std::string left = row == 0          ? label(high)
                             : row == rows - 1 ? label(low)
                                               : std::string(kAxisColumns, ' ');
    lines.push_back(left + canvas.row_text(row, traits));
    if (lines.back().find_last_not_of(' ') == std::string::npos) lines.back().clear();
  }
  return lines;
}

std::string horizontal_axis(const std::string& left, const std::string& middle,
                            const std::string& right, int columns, TerminalTraits traits) {
  std::string axis = std::string(kAxisColumns, ' ') + left;
  const auto width = static_cast<std::size_t>(columns) + kAxisColumns;
  const std::size_t at = std::max((width - middle.size()) / 2, axis.size() + 1);
  axis += std::string(at - axis.size(), ' ') + middle;
  const std::size_t end = std::max(width, axis.size() + 1 + right.size());
  axis += std::string(end - axis.size() - right.size(), ' ') + right;
  return tinted(axis, Tint::faint, traits.colour);
}

}  // namespace fatwood
