#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/core/shown_rows.h>

namespace fatwood {
namespace {

struct Seen : RowSink {
  void begin(const RunRow& row) override { run = row; }
  void stats(const StatsRow& row) override { statistics.push_back(row); }
  void epoch(const EpochRow& row) override { epochs.push_back(row); }
  void event(const EventRow& row) override { text = row.what + "|" + row.reason; }
  void end(const EndRow& row) override { text = row.status + "|" + row.reason; }
  RunRow run;
  std::vector<StatsRow> statistics;
  std::vector<EpochRow> epochs;
  std::string text;
};

RunRow run_of(std::size_t layers, std::size_t metrics, const std::string& model = "m") {
  RunRow row;
  row.model = model;
  row.layers.resize(layers);
  row.metrics.resize(metrics);
  return row;
}

const std::string kEscape = "a\x1b]0;b\a\n";
const std::string kCleaned = "a\\x1b]0;b\\x07";

TEST(ShownRows, texts_hold_no_control_characters_and_are_cut) {
  Seen seen;
  ShownRows rows(seen);
  rows.begin({.model = kEscape,
              .layers = {{kEscape, kEscape}},
              .metrics = {{kEscape, std::string(5000, 'x'), "\xc2\x9b", true}}});
  EXPECT_EQ(seen.run.model, kCleaned);
  EXPECT_EQ(seen.run.layers.at(0).name, kCleaned);
  EXPECT_EQ(seen.run.layers.at(0).kind, kCleaned);
  EXPECT_EQ(seen.run.metrics.at(0).name, kCleaned);
  EXPECT_EQ(seen.run.metrics.at(0).title, std::string(kLongestShownName, 'x') + "…");
  EXPECT_EQ(seen.run.metrics.at(0).unit, "\\xc2\\x9b");
  rows.epoch({.metrics = {{kEscape, 0.5}}});
  EXPECT_EQ(seen.epochs.at(0).metrics.at(0).first, kCleaned);
  rows.event({.step = 1, .what = kEscape, .reason = kEscape});
  EXPECT_EQ(seen.text, kCleaned + "|" + kCleaned);
  rows.end({.status = kEscape, .reason = std::string(5000, 'x')});
  EXPECT_EQ(seen.text, kCleaned + "|" + std::string(kLongestShownText, 'x') + "…");
}

TEST(ShownRows, names_that_are_none_stay_as_they_are) {
  const std::string name = "couche à 3×3 → «x»";
  EXPECT_EQ(shown(run_of(0, 0, name)).model, name);
}

StatsRow statistics(std::size_t means, std::size_t deviations, std::size_t histograms,
                    std::size_t bins) {
  return {.mean = std::vector<double>(means),
          .std = std::vector<double>(deviations),
          .hist = {histograms, std::vector<std::int64_t>(bins)}};
}

TEST(ShownRows, lists_that_no_page_can_hold_are_data_errors) {
  Seen seen;
  ShownRows rows(seen);
  rows.begin(run_of(kMostShownLayers, kMostShownMetrics));
  EXPECT_THROW(rows.begin(run_of(kMostShownLayers + 1, 0)), Error);
  EXPECT_THROW(rows.begin(run_of(0, kMostShownMetrics + 1)), Error);
  EXPECT_THROW(rows.epoch({.metrics = MetricValues(kMostShownMetrics + 1)}), Error);
  rows.stats(statistics(kMostShownLayers, kMostShownLayers, 0, 0));
  rows.stats(statistics(2, 2, 2, kMostShownBins));
  for (const StatsRow& row :
       {statistics(kMostShownLayers + 1, kMostShownLayers + 1, 0, 0), statistics(2, 1, 0, 0),
        statistics(2, 2, 1, 1), statistics(0, 0, 1, 1), statistics(1, 1, 1, kMostShownBins + 1)})
    EXPECT_THROW(rows.stats(row), Error);
  EXPECT_EQ(seen.statistics.size(), 2u);
  EXPECT_TRUE(seen.epochs.empty());
}

}  // namespace
}  // namespace fatwood
