#include <algorithm>
#include <utility>

#include <fatwood/core/text.h>
#include <fatwood/report/number_text.h>
#include <fatwood/report/tables.h>

namespace fatwood {
namespace {

constexpr int kDecimals = 3;
constexpr std::size_t kValueWidth = 6;  // "12.345", so that lines printed as they come align

std::vector<Column> columns_for(const std::vector<MetricInfo>& metrics) {
  std::vector<Column> columns;
  for (const MetricInfo& metric : metrics)
    columns.push_back(
        {metric.title.empty() ? metric.name : metric.title, Align::right, kValueWidth});
  columns.push_back({"epoch", Align::right});
  columns.push_back({"train"});
  return columns;
}

}  // namespace

EpochTable::EpochTable(std::vector<MetricInfo> metrics)
    : metrics_(std::move(metrics)), columns_(columns_for(metrics_)), table_(columns_) {}

void EpochTable::add(const EpochRow& row) {
  std::vector<std::string> cells;
  for (const MetricInfo& metric : metrics_) {
    const auto value = std::find_if(row.metrics.begin(), row.metrics.end(),
                                    [&](const auto& pair) { return pair.first == metric.name; });
    cells.push_back(value == row.metrics.end() ? "" : fixed(value->second, kDecimals));
  }
  cells.push_back(std::to_string(row.epoch));
  cells.emplace_back(name_of(row.mode));
  for (std::size_t i = 0; i < cells.size(); ++i)
    columns_[i].min_width = std::max(columns_[i].min_width, display_width(cells[i]));
  table_.add(std::move(cells));
}

std::string EpochTable::last_row() const {
  // A table of this row alone, as wide as the whole, which would measure every row that it has.
  TextTable alone(columns_);
  alone.add(table_.row(table_.rows() - 1));
  return alone.plain_row(0);
}

}  // namespace fatwood
