#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/learner.h>

namespace fatwood {
namespace {

Learner small_learner(Callbacks callbacks) {
  torch::manual_seed(0);
  const Tensor x = torch::randn({24, 1, 8, 8});
  const Tensor y = torch::randint(3, {24});
  return Learner({.model = CNN::kaiming({.nfs = {4, 4}, .n_outputs = 3}),
                  .loaders = {tensor_batches(x, y, {.batch_size = 6}),
                              tensor_batches(x, y, {.batch_size = 8})},
                  .callbacks = std::move(callbacks)});
}

// Measures the layers' outputs by the plain definitions, from taps of its own.
struct Oracle : Callback {
  std::string name() const override { return "oracle"; }
  void before_fit(Run& run) override {
    for (const NamedLayer& part : run.model->layers()) {
      taps.push_back(part.layer->add_tap(
          {.request = {.tensors = true}, .deliver = [this](const TapReading& reading) {
             mean.push_back(reading.output.mean().item<double>());
             std.push_back(reading.output.std().item<double>());
           }}));
    }
  }
  void cleanup_fit(Run&) override { taps.clear(); }
  std::vector<TapHandle> taps;
  std::vector<double> mean, std;
};

// Ends the fit after its third batch.
struct Cut : Callback {
  std::string name() const override { return "cut"; }
  Stage stage() const override { return Stage::control; }
  void after_batch(Run& run) override {
    if (run.step == 2) run.cancel(Scope::fit, "enough");
  }
};

TEST(StoreModuleStats, has_every_layer_at_every_training_batch) {
  const auto stats = std::make_shared<StoreModuleStats>(StoreModuleStatsOptions{.hist_period = 3});
  const auto oracle = std::make_shared<Oracle>();
  small_learner({stats, oracle}).fit(2);
  ASSERT_EQ(stats->rows().size(), 8u);
  std::vector<double> mean, std;
  for (const StatsRow& row : stats->rows()) {
    mean.insert(mean.end(), row.mean.begin(), row.mean.end());
    std.insert(std.end(), row.std.begin(), row.std.end());
    EXPECT_EQ(row.hist.empty(), row.step % 3 != 0) << row.step;
  }
  EXPECT_THAT(mean, testing::Pointwise(testing::DoubleNear(1e-6), oracle->mean));
  EXPECT_THAT(std, testing::Pointwise(testing::DoubleNear(1e-6), oracle->std));
  EXPECT_EQ(stats->rows()[3].hist.at(1).size(), 40u);
}

TEST(StoreModuleStats, keeps_to_its_filter_period_and_modes) {
  const auto stats = std::make_shared<StoreModuleStats>(StoreModuleStatsOptions{
      .period = 2,
      .hist_period = 0,
      .training = false,
      .evaluation = true,
      .filter = [](const NamedLayer& part) { return part.name == "layers.1"; }});
  small_learner({stats}).fit(2);
  ASSERT_EQ(stats->rows().size(), 3u);  // of six evaluation batches
  for (const StatsRow& row : stats->rows()) {
    EXPECT_EQ(row.mode, Mode::evaluation);
    EXPECT_EQ(row.mean.size(), 1u);
    EXPECT_TRUE(row.hist.empty());
  }
  EXPECT_EQ(stats->layers().at(0).name, "layers.1");
}

TEST(StoreModuleStats, keeps_the_phase_of_a_run_that_starts_in_the_middle) {
  const auto stats = std::make_shared<StoreModuleStats>(StoreModuleStatsOptions{.hist_period = 3});
  Learner learner = small_learner({stats});
  learner.start_at(1, 1);
  learner.fit(2);
  std::vector<std::int64_t> steps, with_hist;
  for (const StatsRow& row : stats->rows()) {
    steps.push_back(row.step);
    if (!row.hist.empty()) with_hist.push_back(row.step);
  }
  EXPECT_THAT(steps, testing::ElementsAre(5, 6, 7));
  EXPECT_THAT(with_hist, testing::ElementsAre(6));
}

TEST(StoreModuleStats, keeps_what_it_has_when_the_fit_is_cut_short_and_takes_its_taps_off) {
  const auto stats = std::make_shared<StoreModuleStats>();
  Learner learner = small_learner({stats, std::make_shared<Cut>()});
  learner.fit(2);
  EXPECT_EQ(stats->rows().size(), 3u);
  for (const NamedLayer& part : learner.run().model->layers()) EXPECT_FALSE(part.layer->has_taps());
}

TEST(StoreModuleStats, hands_its_rows_on_and_keeps_those_of_the_fit_or_none) {
  struct Counted : RowSink {
    void stats(const StatsRow&) override { ++rows; }
    int rows = 0;
  };
  for (const bool keep : {true, false}) {
    const auto sink = std::make_shared<Counted>();
    const auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{sink});
    const auto stats = std::make_shared<StoreModuleStats>(
        StoreModuleStatsOptions{.evaluation = true, .keep = keep}, recorder);
    Learner learner = small_learner({recorder, stats});
    learner.fit(1);
    learner.evaluate();
    EXPECT_EQ(sink->rows, 7);  // four training batches and three of the fit's evaluation
    EXPECT_EQ(stats->rows().size(), keep ? 7u : 0u);
  }
}

TEST(StoreModuleStats, refuses_periods_that_cannot_be) {
  EXPECT_THROW(StoreModuleStats({.period = 0}), Error);
  EXPECT_THROW(StoreModuleStats({.hist_period = -1}), Error);
}

}  // namespace
}  // namespace fatwood
