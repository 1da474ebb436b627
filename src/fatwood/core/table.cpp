#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/core/table.h>

namespace fatwood {
namespace {

std::string aligned(const std::vector<std::string>& cells, const std::vector<Column>& columns,
                    const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    const std::string blanks(widths[i] - display_width(cells[i]), ' ');
    line += columns[i].align == Align::right ? blanks + cells[i] : cells[i] + blanks;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

std::string escaped(const std::string& cell) {
  std::string text;
  for (const char c : cell) {
    if (c == '|') text += '\\';
    text += c == '\n' ? ' ' : c;
  }
  return text;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += cell.empty() ? " |" : " " + escaped(cell) + " |";
  return line + '\n';
}

}  // namespace

void TextTable::add(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) {
    throw Error(ErrorKind::internal, "table",
                "row of " + std::to_string(cells.size()) + " cells, wanted " +
                    std::to_string(columns_.size()));
  }
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> TextTable::widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = std::max(columns_[i].min_width, display_width(columns_[i].heading));
    for (const auto& row : rows_) width = std::max(width, display_width(row[i]));
    widths.push_back(width);
  }
  return widths;
}

std::string TextTable::plain_heading() const {
  std::vector<std::string> headings;
  for (const Column& column : columns_) headings.push_back(column.heading);
  return aligned(headings, columns_, widths());
}

std::string TextTable::plain_row(std::size_t i) const {
  return aligned(rows_.at(i), columns_, widths());
}

std::string TextTable::plain() const {
  std::string text = plain_heading();
  const std::vector<std::size_t> width = widths();
  for (const auto& row : rows_) text += aligned(row, columns_, width);
  return text;
}

std::string TextTable::markdown() const {
  std::vector<std::string> headings;
  for (const Column& column : columns_) headings.push_back(column.heading);
  std::string text = markdown_row(headings);
  text += markdown_row(std::vector<std::string>(columns_.size(), "--"));
  for (const auto& row : rows_) text += markdown_row(row);
  return text;
}

std::size_t display_width(std::string_view text) {
  // Continuation bytes of UTF-8 are 10xxxxxx.
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace fatwood
