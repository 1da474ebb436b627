#include <string>

#include <fatwood/core/error.h>
#include <fatwood/core/shown_rows.h>
#include <fatwood/core/text.h>

namespace fatwood {
namespace {

void clean(std::string& name) {
  name = one_line(name, kLongestShownName);
}

void want_at_most(std::size_t most, std::size_t found, const char* what) {
  if (found > most) {
    throw Error(
        ErrorKind::data, "read_row",
        "found " + std::to_string(found) + " " + what + ", wanted at most " + std::to_string(most));
  }
}

}  // namespace

RunRow shown(RunRow row) {
  clean(row.model);
  for (LayerInfo& layer : row.layers) {
    clean(layer.name);
    clean(layer.kind);
  }
  for (MetricInfo& metric : row.metrics) {
    clean(metric.name);
    clean(metric.title);
    clean(metric.unit);
  }
  return row;
}

EpochRow shown(EpochRow row) {
  for (auto& [name, value] : row.metrics) clean(name);
  return row;
}

EventRow shown(EventRow row) {
  clean(row.what);
  row.reason = one_line(row.reason, kLongestShownText);
  return row;
}

EndRow shown(EndRow row) {
  clean(row.status);
  row.reason = one_line(row.reason, kLongestShownText);
  return row;
}

void ShownRows::begin(const RunRow& row) {
  want_at_most(kMostShownLayers, row.layers.size(), "layers");
  want_at_most(kMostShownMetrics, row.metrics.size(), "metrics");
  to_.begin(shown(row));
}

void ShownRows::stats(const StatsRow& row) {
  const std::size_t layers = row.mean.size();
  want_at_most(kMostShownLayers, layers, "layers");
  if (row.std.size() != layers || (!row.hist.empty() && row.hist.size() != layers)) {
    throw Error(ErrorKind::data, "read_row",
                "found " + std::to_string(layers) + " means, " + std::to_string(row.std.size()) +
                    " deviations and " + std::to_string(row.hist.size()) +
                    " histograms, wanted as many of each");
  }
  for (const auto& counts : row.hist) want_at_most(kMostShownBins, counts.size(), "bins");
  to_.stats(row);
}

void ShownRows::epoch(const EpochRow& row) {
  want_at_most(kMostShownMetrics, row.metrics.size(), "metrics");
  to_.epoch(shown(row));
}

}  // namespace fatwood
