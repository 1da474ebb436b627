#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/engine/engine.h>
#include <fatwood/inspect/lr_find.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/stopping.h>

#include "support/bright_thirds.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

Learner small_learner(OptimizerPtr (*optimizer)(const Layer&), Callbacks callbacks = {}) {
  const Loaders loaders = bright_thirds(192);
  const LayerPtr model =
      CNN::kaiming({.nfs = {8, 16, 16}, .n_outputs = 3, .block = make<ResidualConvBlock>});
  return Learner({.model = model,
                  .loaders = loaders,
                  .optimizer = optimizer(*model),
                  .callbacks = std::move(callbacks)});
}

OptimizerPtr plain_adamw(const Layer& model) {
  return adamw(model, {.lr = 0.02, .decay_all = false});
}
OptimizerPtr sgd_with_momentum(const Layer& model) {
  return sgd(model, {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3});
}

// Everything that a sweep may not change, as bytes and numbers.
struct State {
  explicit State(Learner& learner) {
    Run& run = learner.run();
    for (const auto& [name, tensor] : named_state(*run.model)) add(name, tensor);
    for (const auto& [name, tensor] : run.optimizer->state()) add(name, tensor);
    for (const auto& [name, tensor] : named_parameters(*run.model))
      add(name + ".grad", tensor.grad());
    for (const ParamGroup& group : run.optimizer->groups()) {
      numbers.insert(numbers.end(), {group.lr, group.base_lr, group.momentum, group.weight_decay});
    }
    for (const auto& part : run.model->modules()) numbers.push_back(part->is_training() ? 1 : 0);
    random = torch::rand({3});  // the generator's next numbers
  }
  void add(const std::string& name, const Tensor& tensor) {
    tensors.emplace_back(name, tensor.defined() ? tensor.detach().clone() : Tensor());
  }
  NamedTensors tensors;
  std::vector<double> numbers;
  Tensor random;
};

void expect_equal(const State& before, const State& after) {
  ASSERT_EQ(before.tensors.size(), after.tensors.size());
  for (std::size_t i = 0; i < before.tensors.size(); ++i) {
    const auto& [name, tensor] = before.tensors[i];
    EXPECT_EQ(name, after.tensors[i].first);
    EXPECT_EQ(tensor.defined(), after.tensors[i].second.defined()) << name;
    if (tensor.defined()) {
      EXPECT_TRUE(torch::equal(tensor, after.tensors[i].second)) << name;
    }
  }
  EXPECT_EQ(before.numbers, after.numbers);
  EXPECT_TRUE(torch::equal(before.random, after.random));
}

// The state before and after `sweep`, with the generator at the same place both times.
template <typename Action>
void expect_untouched(Learner& learner, const Action& sweep) {
  torch::manual_seed(11);
  const State before(learner);
  torch::manual_seed(11);
  sweep();
  expect_equal(before, State(learner));
}

// Does something at one step of the sweep.
struct At : Callback {
  At(std::int64_t step, std::function<void(Run&)> action) : step_(step), action_(action) {}
  std::string name() const override { return "at"; }
  void after_backward(Run& run) override {
    if (run.step == step_) action_(run);
  }
  std::int64_t step_;
  std::function<void(Run&)> action_;
};

TEST(LrFind, sweeps_a_factor_a_batch_and_ends_above_three_times_the_lowest_loss) {
  Learner learner = small_learner(plain_adamw);
  const LrFindResult found = lr_find(learner);
  ASSERT_GT(found.lr.size(), 20u);
  ASSERT_EQ(found.lr.size(), found.loss.size());
  for (std::size_t i = 0; i < found.lr.size(); ++i)
    EXPECT_NEAR(found.lr[i], 1e-5 * std::pow(1.3, static_cast<double>(i)), 1e-9 * found.lr[i]);
  double lowest = INFINITY;
  for (std::size_t i = 0; i + 1 < found.loss.size(); ++i) {
    lowest = std::min(lowest, found.loss[i]);
    EXPECT_LE(found.loss[i], 3 * lowest);
  }
  EXPECT_GT(found.loss.back(), 3 * lowest);
  EXPECT_THAT(found.ended, HasSubstr("3 times its lowest"));
  EXPECT_FALSE(found.interrupted);
}

TEST(LrFind, suggests_rates_that_train_and_that_lie_below_the_rates_that_do_not) {
  Learner learner = small_learner(plain_adamw);
  const LrFindResult found = lr_find(learner);
  ASSERT_TRUE(found.steepest && found.valley);
  for (const double lr : {*found.steepest, *found.valley}) {
    EXPECT_GT(lr, found.lr.front());
    EXPECT_LT(lr, found.lr.back() / 5);
    Learner fresh = small_learner(plain_adamw, {Metrics::usual(3)});
    for (ParamGroup& group : fresh.run().optimizer->groups()) group.lr = lr;
    fresh.fit(4);
    EXPECT_GT(fresh.run().epoch_metrics.at(0).second, 0.9) << lr;
  }
}

TEST(LrFind, gives_each_batch_its_rate_and_the_optimiser_uses_it) {
  // One weight, loss = w: plain SGD moves it by the sum of the rates.
  struct Weight : Layer {
    Weight() { w = register_parameter("w", torch::full({1}, 100.0)); }
    std::string kind() const override { return "Weight"; }
    LayerPtr remake() const override { return std::make_shared<Weight>(); }
    Tensor compute(const Tensor&) override { return w; }
    Tensor w;
  };
  const auto model = std::make_shared<Weight>();
  const Tensor x = torch::zeros({4, 1});
  Learner learner({.model = model,
                   .loaders = {tensor_batches(x, x, {.batch_size = 2}), {}},
                   .optimizer = sgd(*model, {.lr = 7}),
                   .loss_function = [](const Tensor& y, const Tensor&) { return y.sum(); }});
  const LrFindResult found = lr_find(learner, {.start_lr = 1, .end_lr = 16, .factor = 2});
  EXPECT_THAT(found.lr, testing::ElementsAre(1, 2, 4, 8, 16));  // of two epochs and a half
  EXPECT_THAT(found.loss, testing::ElementsAre(100, 99, 97, 93, 85));
  EXPECT_THAT(found.ended, HasSubstr("at its end"));
  EXPECT_EQ(model->w.item<double>(), 100);
  EXPECT_EQ(learner.run().optimizer->groups().front().lr, 7);
}

class LrFindRestores : public testing::TestWithParam<OptimizerPtr (*)(const Layer&)> {};

TEST_P(LrFindRestores, a_fresh_learner) {
  Learner learner = small_learner(GetParam());
  expect_untouched(learner, [&] { lr_find(learner); });
}

TEST_P(LrFindRestores, a_trained_one_with_gradients_and_parts_in_evaluation_mode) {
  Learner learner = small_learner(GetParam());
  learner.fit(1);
  fatwood::Run& run = learner.run();
  const Batch batch = run.loaders.train->get(0, 0);
  run.loss_function(run.model->forward(batch.x), batch.y).backward();
  run.model->layers()[1].layer->eval();
  expect_untouched(learner, [&] { lr_find(learner); });
}

TEST_P(LrFindRestores, under_the_fused_engine) {
  Learner learner = small_learner(GetParam());
  use_engine(*learner.run().model, Engine::fused);
  expect_untouched(learner, [&] { lr_find(learner); });
}

TEST_P(LrFindRestores, after_an_exception_and_after_a_cancel) {
  Learner learner = small_learner(GetParam());
  learner.fit(1);
  learner.add(std::make_shared<At>(
      5, [](fatwood::Run&) { throw Error(ErrorKind::io, "test", "out of paper"); }));
  expect_untouched(learner, [&] {
    EXPECT_THAT(thrown_by([&] { lr_find(learner); }), error_with(ErrorKind::io, "out of paper"));
  });
  learner.add(std::make_shared<At>(3, [](fatwood::Run& run) { run.cancel(Scope::fit, "enough"); }));
  expect_untouched(learner, [&] {
    const LrFindResult found = lr_find(learner);
    EXPECT_EQ(found.lr.size(), 4u);
    EXPECT_EQ(found.ended, "enough");
  });
}

TEST_P(LrFindRestores, after_weights_and_losses_that_are_not_finite) {
  Learner learner = small_learner(GetParam());
  expect_untouched(learner, [&] {
    const LrFindResult found =
        lr_find(learner, {.start_lr = 1e-3, .end_lr = 1e60, .factor = 1e8, .stop_at = 1e300});
    EXPECT_FALSE(std::isfinite(found.loss.back()));
    EXPECT_THAT(found.ended, HasSubstr("not finite"));
  });
}

INSTANTIATE_TEST_SUITE_P(Optimisers, LrFindRestores,
                         testing::Values(plain_adamw, sgd_with_momentum),
                         [](const auto& info) { return info.index == 0 ? "adamw" : "sgd"; });

struct CountSteps : Callback {
  std::string name() const override { return "count"; }
  void after_step(Run&) override { ++steps; }
  int steps = 0;
};

TEST(LrFind, records_nothing_and_leaves_the_callbacks_of_a_step_in) {
  const auto recorder = std::make_shared<Recorder>();
  const auto count = std::make_shared<CountSteps>();
  Learner learner =
      small_learner(plain_adamw, {recorder, Metrics::usual(3), std::make_shared<ClipGradients>(1.0),
                                  std::make_shared<GradientMomentum>(0.5), count});
  const LrFindResult found = lr_find(learner, {.end_lr = 1e-3});
  EXPECT_EQ(count->steps, static_cast<int>(found.lr.size()) - 1);  // the last loss ends it
  EXPECT_TRUE(recorder->batches().empty());
  EXPECT_TRUE(recorder->epochs().empty());
}

TEST(LrFind, tells_each_batch_to_its_watcher_and_stops_on_request) {
  std::stop_source source;
  Learner learner = small_learner(plain_adamw);
  std::vector<std::int64_t> seen;
  const LrFindResult found =
      lr_find(learner, {.stop = source.get_token(),
                        .watch = [&](std::int64_t step, std::int64_t steps, double, double) {
                          seen.push_back(step);
                          EXPECT_EQ(steps, 53);  // ⌊ln(10⁶) / ln 1.3⌋ + 1
                          if (step == 2) source.request_stop();
                        }});
  EXPECT_THAT(seen, testing::ElementsAre(0, 1, 2));
  EXPECT_TRUE(found.interrupted);
  EXPECT_EQ(found.lr.size(), 3u);
}

TEST(LrFind, refuses_what_cannot_be) {
  Learner learner = small_learner(plain_adamw);
  const auto refused = [&](const LrFindOptions& options, const std::string& part) {
    EXPECT_THAT(thrown_by([&] { lr_find(learner, options); }), error_with(ErrorKind::usage, part));
  };
  refused({.start_lr = 0}, "start_lr 0");
  refused({.start_lr = std::nan("")}, "start_lr nan");
  refused({.start_lr = 1, .end_lr = 1}, "end_lr 1");
  refused({.end_lr = INFINITY}, "end_lr inf");
  refused({.factor = 1}, "factor 1");
  refused({.factor = 1.0000001}, "factor 1");
  refused({.stop_at = 1}, "stop_at 1");
}

TEST(LrFind, says_that_nothing_can_be_found_from_a_loss_that_is_not_finite) {
  Learner learner = small_learner(plain_adamw);
  const torch::NoGradGuard no_grad;
  learner.run().model->parameters().front().fill_(NAN);
  const torch::AutoGradMode gradients(true);
  EXPECT_THAT(thrown_by([&] { lr_find(learner); }), error_with(ErrorKind::diverged, "first batch"));
}

// A sweep by hand: flat, a fall in the middle, a rise.
struct Curve {
  std::vector<double> lr, loss;
};
Curve by_hand(std::vector<double> loss) {
  Curve curve{{}, std::move(loss)};
  for (std::size_t i = 0; i < curve.loss.size(); ++i)
    curve.lr.push_back(std::pow(10.0, static_cast<double>(i) - 6));
  return curve;
}

TEST(LrFindSuggestions, are_the_points_of_fastais_formulas_on_a_curve_by_hand) {
  const Curve curve = by_hand({3, 3, 3, 3, 3, 2.8, 2.6, 2.4, 2, 1, 0, 0, 0, 0.5, 4, 9});
  // Smoothed around the steep stretch: 2.244, 1.711 (point 8), 1.044, 0.444, 0.167 (point 11).
  EXPECT_DOUBLE_EQ(*steepest_lr(curve.lr, curve.loss), curve.lr[8]);
  // Smoothed losses fall strictly from point 2 to point 11: ten of them, so n = 10, e = 11.
  EXPECT_DOUBLE_EQ(*valley_lr(curve.lr, curve.loss), curve.lr[11 - 10 + 3 + 1]);
}

TEST(LrFindSuggestions, are_none_where_the_loss_does_not_fall) {
  for (const Curve& curve :
       {by_hand({}), by_hand({1}), by_hand({1, 2, 3, 4}), by_hand({1, 0.99, 1, 0.98, 1.1, 4}),
        by_hand({NAN, NAN}), by_hand({2, 2, 2, NAN})}) {
    EXPECT_FALSE(steepest_lr(curve.lr, curve.loss));
    EXPECT_FALSE(valley_lr(curve.lr, curve.loss));
  }
}

TEST(LrFindSuggestions, pass_over_a_recovery_behind_the_lowest_loss) {
  const Curve curve = by_hand({3, 2.9, 2.6, 2.2, 1.8, 1.5, 1.3, 1.2, 1.2, 9, 9, 3, 3, 3});
  EXPECT_LT(*steepest_lr(curve.lr, curve.loss), curve.lr[6]);
}

TEST(LrFindJson, has_the_form_that_reports_read) {
  const nlohmann::json json =
      to_json({.lr = {1, 2}, .loss = {3, NAN}, .steepest = 1, .valley = {}, .ended = "why"});
  EXPECT_EQ(json.dump(),
            R"({"ended":"why","loss":[3.0,null],"lr":[1.0,2.0],"suggestions":{"steepest":1.0}})");
}

}  // namespace
}  // namespace fatwood
