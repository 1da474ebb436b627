// The rows of a run, gathered as a report has them, and what diagnose says of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <fatwood/inspect/diagnose.h>

namespace fatwood {

struct Rows : RowSink {
  void begin(const RunRow& row) override { layers = row.layers; }
  void batch(const BatchRow& row) override { batches.push_back(row); }
  void stats(const StatsRow& row) override { statistics.push_back(row); }
  void end(const EndRow& row) override { last = row; }
  std::vector<Finding> findings() const {
    return diagnose({layers, batches, statistics, last ? &*last : nullptr});
  }
  std::vector<LayerInfo> layers;
  std::vector<BatchRow> batches;
  std::vector<StatsRow> statistics;
  std::optional<EndRow> last;
};

inline std::vector<std::string> rules(const Rows& rows) {
  std::vector<std::string> names;
  for (const Finding& finding : rows.findings()) names.emplace_back(finding.rule);
  return names;
}

// The layer that a rule named; "none" without a finding of that rule.
inline std::string layer_named(const Rows& rows, std::string_view rule) {
  for (const Finding& finding : rows.findings()) {
    if (finding.rule == rule) return finding.layer;
  }
  return "none";
}

inline std::string words(const Rows& rows) {
  std::string text;
  for (const Finding& f : rows.findings())
    text += std::string(f.rule) + " " + f.layer + ": " + f.what + "\n";
  return text;
}

}  // namespace fatwood
