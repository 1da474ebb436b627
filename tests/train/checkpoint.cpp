#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <torch/nn/modules/dropout.h>

#include <fatwood/core/error.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/checkpoint.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/stopping.h>

#include "support/temporary_folder.h"
#include "train/tiny.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kEpochs = 3;

// Writes a checkpoint after every training batch, after every training pass and after every epoch.
struct SaveEverywhere : Callback {
  explicit SaveEverywhere(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::string name() const override { return "checkpointing"; }
  Stage stage() const override { return Stage::save; }
  void cleanup_batch(Run& run) override {
    if (run.training()) write(run, {run.epoch, Mode::training, run.batch_index + 1});
  }
  void cleanup_epoch(Run& run) override {
    if (run.cancelled()) return;
    if (run.training()) {
      write(run, {run.epoch, Mode::evaluation, 0});
    } else {
      write(run, {run.epoch + 1, Mode::training, 0});
    }
  }
  void write(const Run& run, const Position& position) {
    if (folder_.empty()) return;
    Snapshot snapshot;
    snapshot.take(run, position, {});
    written.push_back(folder_ / std::to_string(written.size()));
    write_checkpoint(written.back(), snapshot.views(), snapshot.about());
  }
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> written;
};

// A learner with everything that remembers something, and what it did.
struct Subject {
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  std::shared_ptr<SaveEverywhere> saving;
  Learner learner;
};

struct Case {
  std::string name;
  std::function<OptimizerPtr(const Layer&)> optimizer;
  std::function<Callbacks()> callbacks;
  bool dropout = false;
};

Subject subject_of(const Case& c, const std::filesystem::path& folder) {
  auto recorder = std::make_shared<Recorder>();
  auto saving = std::make_shared<SaveEverywhere>(folder);
  Callbacks callbacks = c.callbacks();
  callbacks.insert(callbacks.end(), {recorder, saving, Metrics::usual(2)});
  const Loaders loaders = tiny_loaders(/*samples=*/45);  // the last batch is a short one
  torch::manual_seed(2);
  const LayerPtr model =
      c.dropout ? adapt(torch::nn::Sequential(torch::nn::Linear(2, 8), torch::nn::BatchNorm1d(8),
                                              torch::nn::Dropout(0.5), torch::nn::Linear(8, 2)))
                : adapt(torch::nn::Sequential(torch::nn::Linear(2, 4), torch::nn::BatchNorm1d(4),
                                              torch::nn::Linear(4, 2)));
  OptimizerPtr optimizer = c.optimizer(*model);
  return {recorder, saving,
          Learner({.model = model,
                   .loaders = loaders,
                   .optimizer = optimizer,
                   .loss_function = nullptr,
                   .callbacks = std::move(callbacks)})};
}

void expect_equal(const NamedTensors& a, const NamedTensors& b, const std::string& where) {
  ASSERT_EQ(a.size(), b.size()) << where;
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first) << where;
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << where << ": " << a[i].first;
  }
}

class Resuming : public testing::TestWithParam<Case> {};

TEST_P(Resuming, from_any_position_ends_as_if_nothing_had_happened) {
  const TemporaryFolder folder;
  Subject whole = subject_of(GetParam(), folder.path());
  const FitResult result = whole.learner.fit(kEpochs);
  const auto& written = whole.saving->written;
  ASSERT_GT(written.size(), 10u);
  for (const auto& path : written) {
    const CheckpointFile file = read_checkpoint(path);
    const std::string where = file.about.at("position").dump();
    Subject part = subject_of(GetParam(), "");
    torch::manual_seed(99);  // what another process would have drawn
    const Position position = restore(file, part.learner);
    const FitResult again = part.learner.fit(kEpochs);
    EXPECT_EQ(again.status, result.status) << where;
    EXPECT_EQ(again.reason, result.reason) << where;
    expect_equal(named_state(*part.learner.run().model), named_state(*whole.learner.run().model),
                 where);
    expect_equal(part.learner.run().optimizer->state(), whole.learner.run().optimizer->state(),
                 where);
    const std::int64_t first = step_at(position, 5);
    const auto& all = whole.recorder->batches();
    const auto& rest = part.recorder->batches();
    ASSERT_EQ(static_cast<std::int64_t>(rest.size()), std::ssize(all) - first) << where;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const BatchRow& expected = all[static_cast<std::size_t>(first) + i];
      EXPECT_EQ(rest[i].step, expected.step) << where;
      EXPECT_EQ(rest[i].loss, expected.loss) << where;
      EXPECT_EQ(rest[i].lr, expected.lr) << where;
      EXPECT_EQ(rest[i].momentum, expected.momentum) << where;
    }
    const auto& epochs = part.recorder->epochs();
    const auto& all_epochs = whole.recorder->epochs();
    ASSERT_LE(epochs.size(), all_epochs.size()) << where;
    for (std::size_t i = 0; i < epochs.size(); ++i) {
      const EpochRow& expected = all_epochs[all_epochs.size() - epochs.size() + i];
      EXPECT_EQ(epochs[i].metrics, expected.metrics) << where;
      EXPECT_EQ(epochs[i].step, expected.step) << where;
      EXPECT_EQ(epochs[i].lr, expected.lr) << where;
    }
  }
}

OptimizerPtr plain_adamw(const Layer& model) {
  return adamw(model, {.lr = 0.05, .decay_all = false});
}
OptimizerPtr momentum_sgd(const Layer& model) {
  return sgd(model, {.lr = 0.1, .momentum = 0.9, .nesterov = true});
}

INSTANTIATE_TEST_SUITE_P(
    Runs, Resuming,
    testing::Values(
        Case{
            "adamw_one_cycle", plain_adamw,
            [] { return Callbacks{std::make_shared<Scheduling>(one_cycle({.total_steps = 15}))}; }},
        Case{
            "sgd_per_epoch", momentum_sgd,
            [] { return Callbacks{std::make_shared<Scheduling>(exponential(0.5), Every::epoch)}; }},
        Case{"accumulation_and_clipping", momentum_sgd,
             [] {
               return Callbacks{std::make_shared<AccumulateGradients>(3),
                                std::make_shared<ClipGradients>(0.5)};
             }},
        Case{"gradient_momentum", plain_adamw,
             [] { return Callbacks{std::make_shared<GradientMomentum>(0.85)}; }},
        Case{"averaged_weights", plain_adamw,
             [] {
               return Callbacks{std::make_shared<AveragedWeights>(
                   AveragedWeightsOptions{.decay = 0.8, .adopt_at_end = true})};
             }},
        Case{"early_stopping", [](const Layer& model) { return sgd(model, {.lr = 1e-12}); },
             [] {
               return Callbacks{std::make_shared<EarlyStopping>(
                   EarlyStoppingOptions{.patience = 0, .min_delta = 0.1})};
             }},
        Case{"dropout", plain_adamw, [] { return Callbacks{}; }, true}),
    [](const auto& info) { return info.param.name; });

std::string refusal(const CheckpointFile& file, Learner& learner) {
  try {
    restore(file, learner);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "restored";
  return "";
}

TEST(Restore, names_what_does_not_fit) {
  const TemporaryFolder folder;
  const Case c{"", momentum_sgd, [] { return Callbacks{}; }};
  Subject subject = subject_of(c, folder.path());
  subject.learner.fit(1);
  const CheckpointFile file = read_checkpoint(subject.saving->written.front());

  Subject other = subject_of({"", plain_adamw, [] { return Callbacks{}; }}, "");
  EXPECT_THAT(refusal(file, other.learner),
              HasSubstr("optimiser adamw, the checkpoint's run had sgd"));
  Subject more = subject_of(
      {"", momentum_sgd, [] { return Callbacks{std::make_shared<StopOnDivergence>()}; }}, "");
  EXPECT_THAT(refusal(file, more.learner), HasSubstr("callback \"stop_on_divergence\""));
  Subject wider = subject_of({"", momentum_sgd, [] { return Callbacks{}; }, true}, "");
  EXPECT_THAT(refusal(file, wider.learner), HasSubstr("is (4, 2), wanted (8, 2)"));
  Learner fewer = tiny_learner();
  EXPECT_THAT(refusal(file, fewer), HasSubstr("batches 4, the checkpoint's run had 5"));
}

TEST(Restore, refuses_positions_that_no_run_has) {
  for (const nlohmann::json& epoch :
       {nlohmann::json(-1), nlohmann::json(std::numeric_limits<std::int64_t>::max()),
        nlohmann::json(~std::uint64_t{0}), nlohmann::json(1.5), nlohmann::json(true)}) {
    CheckpointFile file = read_checkpoint("tests/train/fixtures/format-1.safetensors");
    file.about["position"]["epoch"] = epoch;
    Learner learner = tiny_learner({Metrics::usual(2)});
    learner.run().optimizer = sgd(*learner.run().model, {.lr = 0.1, .momentum = 0.9});
    EXPECT_NE(refusal(file, learner), "") << epoch;
  }
}

TEST(Restore, reads_the_checkpoint_of_format_1) {
  // Written by fixtures/make_checkpoint.cpp.
  const CheckpointFile file = read_checkpoint("tests/train/fixtures/format-1.safetensors");
  Learner learner = tiny_learner({Metrics::usual(2)});
  learner.run().optimizer = sgd(*learner.run().model, {.lr = 0.1, .momentum = 0.9});
  const Position position = restore(file, learner);
  EXPECT_EQ(position, (Position{1, Mode::training, 2}));
  Learner whole = tiny_learner({Metrics::usual(2)});
  whole.run().optimizer = sgd(*whole.run().model, {.lr = 0.1, .momentum = 0.9});
  whole.fit(3);
  learner.fit(3);
  const Tensor a = learner.run().model->parameters()[0], b = whole.run().model->parameters()[0];
  EXPECT_TRUE(torch::allclose(a, b, 1e-5, 1e-6)) << a << b;
}

}  // namespace
}  // namespace fatwood
