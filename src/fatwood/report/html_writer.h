// HTML with every text escaped. Private to report.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fatwood {

/// `text` for element content and for attribute values in double quotes.
std::string escaped(std::string_view text);

/// A table in a box that scrolls sideways when it must, reachable by keyboard.
class HtmlTable {
 public:
  struct Cell {
    std::string text;
    std::string classes = {};  ///< "num" for numbers, "best"
    bool heading = false;      ///< names its row
  };

  HtmlTable(std::string caption, std::vector<Cell> headings)
      : caption_(std::move(caption)), headings_(std::move(headings)) {}
  void add(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  void total(std::vector<Cell> cells) { total_ = std::move(cells); }
  bool empty() const { return rows_.empty(); }
  std::string html() const;

 private:
  std::string caption_;
  std::vector<Cell> headings_;
  std::vector<std::vector<Cell>> rows_;
  std::vector<Cell> total_;
};

}  // namespace fatwood
