#include <cmath>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/report/plots.h>

#include "sample_run.h"
#include "support/temporary_folder.h"

namespace fatwood {
namespace {

const Spec* row_of(const Spec& values, const Spec& labels) {
  for (const Spec& row : values) {
    bool fits = true;
    for (const auto& [key, value] : labels.items()) fits = fits && row.value(key, Spec()) == value;
    if (fits) return &row;
  }
  return nullptr;
}

class Plots : public ::testing::Test {
 protected:
  Plots() {
    test::write_sample_run(scratch.path() / "run");
    record = read_run(scratch.path() / "run");
  }
  TemporaryFolder scratch;
  RunRecord record;
};

TEST_F(Plots, every_kind_gives_a_whole_document_from_a_complete_run) {
  std::set<std::string_view> names;
  for (const PlotKind& kind : plot_kinds()) {
    ASSERT_TRUE(kind.has_data(record)) << kind.name;
    const Spec spec = kind.make({&record, 1});
    EXPECT_THAT(spec.value("$schema", ""), ::testing::HasSubstr("vega-lite/v6"));
    EXPECT_FALSE(spec.value("title", "").empty()) << kind.name;
    EXPECT_FALSE(spec.value("description", "").empty()) << kind.name;
    EXPECT_EQ(spec["config"]["view"]["fill"], "#E5E5E5") << kind.name;
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
  }
}

TEST_F(Plots, no_kind_claims_data_of_an_empty_run_and_none_crashes_on_a_poor_one) {
  for (const PlotKind& kind : plot_kinds()) EXPECT_FALSE(kind.has_data(RunRecord{})) << kind.name;
  RunRecord poor;
  poor.batches = {{.loss = std::numeric_limits<double>::quiet_NaN()}};
  poor.epochs = {{.metrics = {}}};
  // Layers come and go: damaged lines were passed over.
  poor.stats = {{.mean = {1}, .std = {}, .hist = {}},
                {.step = 1, .mean = {1, 2, 3}, .std = {1}, .hist = {{1, 2}, {}, {-5}}}};
  poor.summary = SummaryRecord{};
  poor.predictions = PredictionsRecord{};
  poor.lr_find = LrFindRecord{};
  for (const PlotKind& kind : plot_kinds()) EXPECT_NO_THROW(kind.make({&poor, 1})) << kind.name;
}

TEST_F(Plots, mean_std_has_two_panels_and_a_line_per_layer_named_as_on_the_page) {
  const Spec spec = mean_std_plot(record);
  const Spec& values = spec["data"]["values"];
  EXPECT_EQ(values.size(), 12u);
  const Spec* row = row_of(values, {{"layer", "layer 3"}, {"quantity", "STD"}});
  ASSERT_NE(row, nullptr);
  ASSERT_EQ((*row)["y"].size(), 354u);
  EXPECT_NEAR((*row)["y"][10].get<double>(), record.stats[10].std[3], 1e-3);
  EXPECT_EQ((*row)["x"][353], 353);
  EXPECT_EQ(spec["spec"]["encoding"]["color"]["scale"]["domain"][5], "layer 5");
}

TEST_F(Plots, hist_is_log1p_of_the_counts) {
  const Spec spec = hist_plot(record);
  const Spec& values = spec["data"]["values"];
  EXPECT_EQ(values.size(), 6u * 45);  // 354 steps, every 8th
  const Spec* row = row_of(values, {{"layer", "layer 2"}, {"x", 16}});
  ASSERT_NE(row, nullptr);
  EXPECT_EQ((*row)["x2"], 24);
  ASSERT_EQ((*row)["h"].size(), 40u);
  const auto count = static_cast<double>(record.stats[16].hist[2][7]);
  EXPECT_NEAR((*row)["h"][7].get<double>(), std::log1p(count), 0.05);
}

TEST_F(Plots, hist_merges_columns_of_long_runs_by_their_mean) {
  RunRecord run;
  for (std::int64_t step = 0; step < 120; ++step)
    run.stats.push_back(
        {.step = step, .mean = {0}, .std = {1}, .hist = {{step % 2 == 0 ? 0 : 10}}});
  const Spec spec = hist_plot(run);
  const Spec& values = spec["data"]["values"];
  EXPECT_EQ(values.size(), 60u);
  EXPECT_NEAR(values[0]["h"][0].get<double>(), std::log1p(5), 0.01);
}

TEST_F(Plots, near_zero_is_the_share_of_the_first_two_bins) {
  RunRecord run;
  run.stats = {{.mean = {0}, .std = {1}, .hist = {{30, 20, 40, 10}}}};
  const Spec spec = near_zero_plot(run);
  EXPECT_EQ(spec["data"]["values"][0]["y"][0], 0.5);
}

TEST_F(Plots, near_zero_is_a_share_of_all_values_where_the_summary_tells_how_many_there_are) {
  RunRecord run;
  run.batches = {{.size = 4}};
  run.stats = {{.mean = {6}, .std = {6}, .hist = {{50, 0, 0, 0}}}};
  const auto share = [&run] { return near_zero_plot(run)["data"]["values"][0]["y"][0]; };
  EXPECT_EQ(share(), 1);
  run.summary.emplace().layers.push_back({.output = {8, 5, 5}});  // 100 in a batch of four
  EXPECT_EQ(share(), 0.5);
  run.stats[0].mean = {std::numeric_limits<double>::quiet_NaN()};  // and who knows of what
  EXPECT_EQ(share(), 1);
}

TEST_F(Plots, loss_has_raw_smoothed_and_evaluation_curves) {
  const Spec spec = loss_plot({&record, 1});
  const Spec& values = spec["data"]["values"];
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[0]["y"].size(), 354u);
  EXPECT_EQ(values[2]["x"], Spec({118, 236, 354}));
}

TEST_F(Plots, metric_has_a_tick_at_every_epoch_of_a_short_run) {
  const Spec spec = metric_plot({&record, 1});
  EXPECT_EQ(spec["encoding"]["x"]["axis"]["values"], Spec({0, 1, 2}));
  EXPECT_EQ(spec["encoding"]["y"]["axis"]["format"], ".1%");
}

TEST_F(Plots, a_loss_that_is_not_finite_breaks_the_line_and_a_diverging_one_gets_a_log_axis) {
  record.batches[5].loss = std::numeric_limits<double>::infinity();
  record.batches[6].loss = 1e6;
  const Spec spec = loss_plot({&record, 1});
  EXPECT_EQ(spec["data"]["values"][0]["y"][5], nullptr);
  EXPECT_EQ(spec["encoding"]["y"]["scale"]["type"], "log");
}

TEST_F(Plots, runs_of_one_name_are_told_apart) {
  const std::vector<RunRecord> runs = {record, record};
  const Spec spec = loss_plot(runs);
  EXPECT_EQ(spec["encoding"]["color"]["scale"]["domain"], Spec({"run #1", "run #2"}));
}

TEST_F(Plots, learning_rates_of_any_size_are_drawn) {
  for (const double lr : {1e19, 1e300, -1e300, 18446744073709551615.0, 9007199254740992.0}) {
    const Spec spec = lr_find_plot({.lr = {lr, 1}, .loss = {1, 2}, .suggestions = {}});
    const Spec& x = spec["layer"][0]["data"]["values"][0]["x"];
    ASSERT_EQ(x.size(), 2u) << spec;
    EXPECT_NEAR(x[0].get<double>() / lr, 1, 1e-3) << x;
  }
}

TEST_F(Plots, a_long_run_stays_small) {
  test::write_sample_run(scratch.path() / "long", {.epochs = 60, .artefacts = false});
  const RunRecord run = read_run(scratch.path() / "long");
  EXPECT_LT(loss_plot({&run, 1}).dump().size(), 40000u);
  EXPECT_LT(mean_std_plot(run).dump().size(), 120000u);
  EXPECT_LT(hist_plot(run).dump().size(), 120000u);
}

TEST_F(Plots, samples_without_pixels_are_left_out) {
  std::vector<PredictedSample> samples(2);
  samples[0] = {.label = 1, .predicted = 1, .channels = 1, .height = 1, .width = 1, .pixels = {9}};
  const Spec spec = samples_plot(samples, {}, "Samples");
  ASSERT_EQ(spec["data"]["values"].size(), 1u);
  EXPECT_EQ(spec["data"]["values"][0]["caption"], "class 1");
}

}  // namespace
}  // namespace fatwood
