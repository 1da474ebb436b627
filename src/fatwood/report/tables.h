// The tables of a run, from its rows: the epoch table with the page's columns.
#pragma once

#include <string>
#include <vector>

#include <fatwood/core/rows.h>
#include <fatwood/core/table.h>

namespace fatwood {

/// `MulticlassAccuracy loss epoch train`: a column per metric under its title, three decimals, then
/// the epoch and train|eval. Can be printed whole, or line by line while the run goes on.
class EpochTable {
 public:
  explicit EpochTable(std::vector<MetricInfo> metrics);

  /// A metric that the row lacks leaves its cell empty; one that the table lacks is passed over.
  void add(const EpochRow& row);

  std::string heading() const { return table_.plain_heading(); }
  std::string last_row() const;
  const TextTable& table() const { return table_; }

 private:
  std::vector<MetricInfo> metrics_;
  std::vector<Column> columns_;  // each at least as wide as its widest cell so far
  TextTable table_;
};

}  // namespace fatwood
