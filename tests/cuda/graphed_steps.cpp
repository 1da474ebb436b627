#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/model/model_table.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/graphed_steps.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/stopping.h>
#include <fatwood/train/transforms.h>

#include "cuda/gpu.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::HasSubstr;
using GraphedFit = Gpu;

constexpr std::int64_t kSamples = 300;  // batches of 64, the last one of 44

struct Told {
  FitResult result;
  std::vector<double> losses, accuracies;
  std::vector<StatsRow> statistics;
  NamedTensors state;
  std::int64_t replayed = 0;
  std::string said;
};

struct FitOptions {
  bool graphs = true;
  std::string model = "residual_cnn";
  Callbacks callbacks = {};
  bool statistics = false;
  bool bf16 = false;
  std::int64_t epochs = 5;
  double lr = 1e-3;
};

Told fit(const FitOptions& options) {
  torch::manual_seed(1);
  const Tensor y = torch::arange(kSamples) % 3;
  const Tensor x = torch::randn({kSamples, 1, 28, 28}) + 0.3 * y.reshape({-1, 1, 1, 1});
  const LayerPtr model = build_model(options.model, {.c_in = 1, .n_outputs = 3});
  model->to(torch::kCUDA);
  use_channels_last(*model);
  Told told;
  const auto graphs = std::make_shared<GraphedSteps>(GraphedStepsOptions{
      .bf16 = options.bf16, .say = [&](std::string_view text) { told.said += text; }});
  const auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{});
  const auto statistics = std::make_shared<StoreModuleStats>(
      StoreModuleStatsOptions{.hist_period = 3, .evaluation = true});
  Callbacks callbacks{std::make_shared<DevicePlacement>(), std::make_shared<StopOnDivergence>(),
                      Metrics::usual(3), recorder,
                      std::make_shared<Scheduling>(one_cycle({.total_steps = 5 * options.epochs}))};
  if (options.graphs) callbacks.push_back(graphs);
  if (options.statistics) callbacks.push_back(statistics);
  callbacks.insert(callbacks.end(), options.callbacks.begin(), options.callbacks.end());
  Learner learner({.model = model,
                   .loaders = {tensor_batches(x, y, {.batch_size = 64, .shuffle = true}),
                               tensor_batches(x, y, {.batch_size = 128})},
                   .optimizer = adamw(*model, {.lr = options.lr}),
                   .callbacks = callbacks,
                   .device = torch::kCUDA});
  told.result = learner.fit(options.epochs);
  for (const BatchRow& row : recorder->batches()) told.losses.push_back(row.loss);
  for (const EpochRow& row : recorder->epochs()) told.accuracies.push_back(row.metrics[0].second);
  told.statistics = statistics->rows();
  for (const auto& [name, tensor] : named_state(*model))
    told.state.emplace_back(name, tensor.detach().to(torch::kCPU, torch::kDouble));
  told.replayed = graphs->replayed();
  return told;
}

/// Equal but for rounding: layers' norms go through kernels of fatwood's own.
void expect_same(const Told& found, const Told& wanted) {
  EXPECT_EQ(found.result.status, wanted.result.status);
  ASSERT_EQ(found.losses.size(), wanted.losses.size());
  for (std::size_t i = 0; i < wanted.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], wanted.losses[i], 1e-2 * (1 + std::abs(wanted.losses[i]))) << i;
  }
  // The first ones, before differences have grown.
  for (std::size_t i = 0; i < 8 && i < wanted.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], wanted.losses[i], 1e-4 * (1 + std::abs(wanted.losses[i]))) << i;
  }
  for (std::size_t i = 0; i < wanted.state.size(); ++i) {
    if (wanted.state[i].first.ends_with("num_batches_tracked")) {
      EXPECT_TRUE(found.state[i].second.equal(wanted.state[i].second)) << wanted.state[i].first;
    }
  }
}

TEST_F(GraphedFit, is_the_fit_without_graphs) {
  for (const char* model : {"deeper_cnn", "residual_cnn", "double_conv_cnn", "resnet18"}) {
    const Told graphed = fit({.model = model});
    expect_same(graphed, fit({.graphs = false, .model = model}));
    // Five epochs of four full batches and a short one, two and one of them for evaluation; the
    // first two of each kind run as they are.
    EXPECT_EQ(graphed.replayed, 18 + 3 + 8 + 3) << model << ": " << graphed.said;
    EXPECT_EQ(graphed.said, "");
  }
}

TEST_F(GraphedFit, trains_in_tf32) {
  at::globalContext().setAllowTF32CuDNN(true);
  for (const char* model : {"deeper_cnn", "residual_cnn", "double_conv_cnn"}) {
    const Told graphed = fit({.model = model});
    const Told plain = fit({.graphs = false, .model = model});
    EXPECT_GT(graphed.replayed, 20);
    ASSERT_EQ(graphed.losses.size(), plain.losses.size());
    for (std::size_t i = 0; i < 8; ++i)
      EXPECT_NEAR(graphed.losses[i], plain.losses[i], 5e-3) << model << ", " << i;
  }
}

TEST_F(GraphedFit, serves_activation_statistics) {
  const Told graphed = fit({.statistics = true});
  const Told plain = fit({.graphs = false, .statistics = true});
  EXPECT_GT(graphed.replayed, 15);
  EXPECT_EQ(graphed.said, "");
  ASSERT_EQ(graphed.statistics.size(), plain.statistics.size());
  std::size_t histograms = 0;
  for (std::size_t i = 0; i < plain.statistics.size(); ++i) {
    const StatsRow &found = graphed.statistics[i], &wanted = plain.statistics[i];
    EXPECT_EQ(found.step, wanted.step);
    EXPECT_EQ(found.mode, wanted.mode);
    ASSERT_EQ(found.mean.size(), wanted.mean.size());
    EXPECT_EQ(found.hist.size(), wanted.hist.size()) << i;
    histograms += found.hist.empty() ? 0 : 1;
    if (i >= 8) continue;
    for (std::size_t layer = 0; layer < wanted.mean.size(); ++layer) {
      EXPECT_NEAR(found.mean[layer], wanted.mean[layer], 5e-4) << i << ", " << layer;
      EXPECT_NEAR(found.std[layer], wanted.std[layer], 5e-4) << i << ", " << layer;
    }
  }
  EXPECT_GT(histograms, 5U);
}

TEST_F(GraphedFit, lets_callbacks_change_gradients) {
  const auto with = [](const std::function<CallbackPtr()>& make, bool graphs) {
    return fit({.graphs = graphs, .callbacks = {make()}});
  };
  const std::vector<std::function<CallbackPtr()>> makers{
      [] { return std::make_shared<ClipGradients>(0.05); },
      [] { return std::make_shared<AccumulateGradients>(2); },
      [] { return std::make_shared<GradientMomentum>(0.5); },
      [] { return std::make_shared<AveragedWeights>(AveragedWeightsOptions{.decay = 0.5}); }};
  for (std::size_t i = 0; i < makers.size(); ++i) {
    SCOPED_TRACE(i);
    const Told graphed = with(makers[i], true);
    expect_same(graphed, with(makers[i], false));
    EXPECT_GT(graphed.replayed, 5);  // evaluation, where training's backward pass is another's
  }
}

TEST_F(GraphedFit, trains_in_bfloat16) {
  const Told narrow = fit({.bf16 = true});
  const Told wide = fit({.graphs = false});
  EXPECT_EQ(narrow.said, "");
  EXPECT_GT(narrow.replayed, 20);
  EXPECT_NEAR(narrow.losses.front(), wide.losses.front(), 0.05);
  EXPECT_NE(narrow.losses.front(), wide.losses.front());
  EXPECT_LT(narrow.losses.back(), 0.9 * narrow.losses.front());
}

TEST_F(GraphedFit, ends_where_numbers_are_not_finite) {
  const Told graphed = fit({.lr = 1e18});
  EXPECT_EQ(graphed.result.status, "diverged") << graphed.result.reason;
}

class Replacing : public Callback {
 public:
  std::string name() const override { return "replacing"; }
  void after_loss(Run& run) override { run.loss = run.loss * 2; }
};

TEST_F(GraphedFit, refuses_a_loss_that_was_replaced) {
  EXPECT_THAT(thrown_by([] { fit({.callbacks = {std::make_shared<Replacing>()}}); }),
              error_with(ErrorKind::usage, "a callback replaced the loss"));
}

class LookingAtTensors : public Callback {
 public:
  std::string name() const override { return "looking"; }
  void before_fit(Run& run) override {
    tap_ = run.model->layers().front().layer->add_tap(
        {.request = {.tensors = true}, .deliver = [this](const TapReading& reading) {
           seen += reading.output.defined() ? 1 : 0;
         }});
  }
  void cleanup_fit(Run&) override { tap_.remove(); }
  std::int64_t seen = 0;

 private:
  TapHandle tap_;
};

TEST_F(GraphedFit, runs_plainly_where_a_tap_wants_tensors) {
  const auto looking = std::make_shared<LookingAtTensors>();
  const Told graphed = fit({.callbacks = {looking}});
  EXPECT_EQ(looking->seen, 25);
  EXPECT_EQ(graphed.replayed, 8 + 3);  // evaluation alone
}

class ReadingLoss : public Callback {
 public:
  std::string name() const override { return "reading"; }
  void before_fit(Run& run) override {
    run.loss_function = [](const Tensor& predictions, const Tensor& targets) {
      const Tensor loss = torch::cross_entropy_loss(predictions, targets);
      return loss * (loss.item<double>() > 0 ? 1 : 2);
    };
  }
};

TEST_F(GraphedFit, says_what_cannot_be_recorded_and_runs_it) {
  const Told graphed = fit({.callbacks = {std::make_shared<ReadingLoss>()}});
  expect_same(graphed, fit({.graphs = false}));
  EXPECT_EQ(graphed.replayed, 0);
  EXPECT_THAT(graphed.said, HasSubstr("run without a CUDA graph"));
}

}  // namespace
}  // namespace fatwood
