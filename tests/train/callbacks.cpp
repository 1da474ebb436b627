#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/gradients.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/stopping.h>
#include <fatwood/train/transforms.h>

#include "train/tiny.h"

namespace fatwood {
namespace {

using testing::HasSubstr;

// Calls a function at the events that a test is about.
struct Probe : Callback {
  std::string name() const override { return "probe"; }
  Stage stage() const override { return Stage::control; }
  void after_backward(Run& run) override { call(backward, run); }
  void after_batch(Run& run) override { call(batch, run); }
  void after_epoch(Run& run) override { call(epoch, run); }
  static void call(const std::function<void(Run&)>& function, Run& run) {
    if (function) function(run);
  }
  std::function<void(Run&)> backward, batch, epoch;
};

Tensor weight_of(Learner& learner) {
  return learner.run().model->parameters()[0];
}

// The gradients of the first epoch's four batches taken as one.
void backward_of_all(Run& run) {
  std::vector<Tensor> x, y;
  for (std::int64_t i = 0; i < 4; ++i) {
    const Batch batch = run.loaders.train->get(0, i);
    x.push_back(batch.x);
    y.push_back(batch.y);
  }
  torch::cross_entropy_loss(run.model->forward(torch::cat(x)), torch::cat(y)).backward();
}

TEST(ClipGradients, bounds_the_joint_norm) {
  auto probe = std::make_shared<Probe>();
  probe->backward = [](auto& run) {
    double squares = 0;
    for (const Tensor& p : run.model->parameters())
      squares += p.grad().square().sum().item<double>();
    EXPECT_NEAR(std::sqrt(squares), 1e-3, 1e-6);
  };
  tiny_learner({std::make_shared<ClipGradients>(1e-3), probe}).fit(1);
  EXPECT_THROW(ClipGradients(0), Error);
}

TEST(AccumulateGradients, of_all_batches_is_one_step_of_the_whole) {
  Learner whole = tiny_learner(), parts = tiny_learner({std::make_shared<AccumulateGradients>(4)});
  backward_of_all(whole.run());
  whole.run().optimizer->step();
  parts.fit(1);
  EXPECT_TRUE(torch::allclose(weight_of(parts), weight_of(whole), 1e-5, 1e-6));
}

TEST(ClipGradients, clips_what_is_accumulated_as_a_whole_in_either_order) {
  constexpr double kNorm = 0.01;
  Learner whole = tiny_learner();
  backward_of_all(whole.run());
  EXPECT_GT(torch::nn::utils::clip_grad_norm_(whole.run().model->parameters(), kNorm), 2 * kNorm);
  whole.run().optimizer->step();
  for (const bool clip_first : {true, false}) {
    Callbacks callbacks{std::make_shared<AccumulateGradients>(4),
                        std::make_shared<ClipGradients>(kNorm)};
    if (clip_first) std::swap(callbacks[0], callbacks[1]);
    Learner parts = tiny_learner(callbacks);
    parts.fit(1);
    EXPECT_TRUE(torch::allclose(weight_of(parts), weight_of(whole), 1e-6, 1e-7)) << clip_first;
    EXPECT_TRUE(parts.run().step_due);
  }
}

TEST(AccumulateGradients, makes_a_step_of_what_is_left_at_the_end) {
  int steps = 0;
  Learner learner = tiny_learner();
  learner.run().parts.step = [&steps](auto& run) {
    ++steps;
    run.optimizer->step();
  };
  learner.fit(1, {std::make_shared<AccumulateGradients>(3)});
  EXPECT_EQ(steps, 2);
}

TEST(GradientMomentum, keeps_a_share_of_the_last_gradient) {
  std::vector<Tensor> grads, own;
  auto probe = std::make_shared<Probe>();
  probe->backward = [&](auto& run) {
    const Tensor weight = run.model->parameters()[0];
    grads.push_back(weight.grad().clone());
    const Tensor loss = torch::cross_entropy_loss(run.model->forward(run.batch.x), run.batch.y);
    own.push_back(torch::autograd::grad({loss}, {weight})[0]);
  };
  Learner learner = tiny_learner({std::make_shared<GradientMomentum>(0.85), probe});
  learner.fit(1);
  ASSERT_EQ(grads.size(), 4u);
  for (std::size_t i = 1; i < grads.size(); ++i) {
    EXPECT_TRUE(torch::allclose(grads[i], own[i] + 0.85 * grads[i - 1], 1e-5, 1e-6));
  }
  EXPECT_FALSE(weight_of(learner).grad().defined());
}

TEST(AveragedWeights, follow_the_recurrence_and_serve_the_evaluation) {
  auto average = std::make_shared<AveragedWeights>(AveragedWeightsOptions{.decay = 0.5});
  std::vector<Tensor> trained;
  Tensor evaluated;
  auto probe = std::make_shared<Probe>();
  probe->batch = [&](auto& run) {
    const Tensor weight = run.model->parameters()[0].detach().clone();
    if (run.training()) {
      trained.push_back(weight);
    } else {
      evaluated = weight;
    }
  };
  Learner learner = tiny_learner({average, probe});
  Tensor expected = weight_of(learner).detach().clone();
  learner.fit(1);
  for (const Tensor& weight : trained) expected = 0.5 * expected + 0.5 * weight;
  EXPECT_TRUE(torch::allclose(evaluated, expected));
  EXPECT_TRUE(torch::equal(weight_of(learner), trained.back()));
  EXPECT_TRUE(torch::allclose(average->average()[0].second, expected));
  EXPECT_THROW(AveragedWeights({.decay = 1}), Error);
}

TEST(AveragedWeights, are_left_in_the_model_when_asked) {
  auto average =
      std::make_shared<AveragedWeights>(AveragedWeightsOptions{.decay = 0.9, .adopt_at_end = true});
  Learner learner = tiny_learner({average});
  const Tensor start = weight_of(learner).detach().clone();
  Learner plain = tiny_learner();
  learner.fit(1);
  plain.fit(1);
  const double moved = (weight_of(learner) - start).norm().item<double>();
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, (weight_of(plain) - start).norm().item<double>());
}

TEST(AveragedWeights, are_left_in_the_model_by_an_early_stop_and_not_by_an_interrupt) {
  for (const char* status : {"cancelled", "interrupted", "diverged"}) {
    auto average = std::make_shared<AveragedWeights>(
        AveragedWeightsOptions{.decay = 0.9, .adopt_at_end = true});
    auto probe = std::make_shared<Probe>();
    Tensor trained;
    probe->epoch = [&](auto& run) {
      trained = run.model->parameters()[0].detach().clone();
      if (run.training()) run.cancel(Scope::fit, "enough", status);
    };
    Learner learner = tiny_learner({average, probe});
    learner.fit(2);
    const bool adopted = std::string(status) == "cancelled";
    EXPECT_EQ(torch::equal(weight_of(learner), trained), !adopted) << status;
    EXPECT_EQ(torch::equal(average->average()[0].second, trained), adopted) << status;
  }
}

TEST(AveragedWeights, serve_an_evaluation_behind_the_fit) {
  for (const bool adopt : {false, true}) {
    auto average = std::make_shared<AveragedWeights>(
        AveragedWeightsOptions{.decay = 0.9, .adopt_at_end = adopt});
    auto probe = std::make_shared<Probe>();
    Tensor evaluated;
    probe->batch = [&](auto& run) {
      if (!run.training()) evaluated = run.model->parameters()[0].detach().clone();
    };
    Learner learner = tiny_learner({average, probe});
    learner.fit(1);
    const Tensor in_the_fit = evaluated.clone();
    learner.evaluate();
    EXPECT_TRUE(torch::equal(evaluated, in_the_fit)) << adopt;
  }
}

TEST(Recorder, keeps_the_fits_rows_when_the_learner_evaluates) {
  auto recorder = std::make_shared<Recorder>();
  Learner learner = tiny_learner({recorder, Metrics::usual(2)});
  learner.fit(2);
  learner.evaluate();
  EXPECT_EQ(recorder->epochs().size(), 4u);
  EXPECT_EQ(recorder->batches().size(), 8u);
  EXPECT_FALSE(learner.run().epoch_metrics.empty());
}

TEST(Recorder, holds_the_end_of_a_fit_that_is_to_be_taken_up_again) {
  struct Ends : RowSink {
    void end(const EndRow& row) override { statuses.push_back(row.status); }
    std::vector<std::string> statuses;
  };
  auto ends = std::make_shared<Ends>();
  auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{ends});
  auto probe = std::make_shared<Probe>();
  const char* status = "diverged";
  probe->batch = [&status](auto& run) {
    if (status) run.cancel(Scope::fit, "enough", status);
  };
  Learner learner = tiny_learner({recorder, probe});
  recorder->hold_end("diverged");
  learner.fit(1);
  EXPECT_THAT(ends->statuses, testing::IsEmpty());
  recorder->release_end();
  recorder->release_end();
  EXPECT_THAT(ends->statuses, testing::ElementsAre("diverged"));
  learner.fit(1);  // held, and forgotten by the next
  status = "interrupted";
  learner.fit(1);
  status = nullptr;
  learner.fit(1);
  EXPECT_THAT(ends->statuses, testing::ElementsAre("diverged", "interrupted", "completed"));
}

TEST(Scheduling, sets_rate_and_momentum_of_every_group_per_batch) {
  std::vector<double> rates, momenta;
  auto probe = std::make_shared<Probe>();
  probe->batch = [&](auto& run) {
    if (!run.training()) return;
    rates.push_back(run.optimizer->groups()[0].lr);
    momenta.push_back(run.optimizer->groups()[0].momentum);
  };
  const SchedulePtr schedule = one_cycle({.total_steps = 8});
  tiny_learner({std::make_shared<Scheduling>(schedule), probe}).fit(2);
  ASSERT_EQ(rates.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(rates[i], schedule->lr(static_cast<std::int64_t>(i), 0.1));
    EXPECT_EQ(momenta[i], *schedule->momentum(static_cast<std::int64_t>(i)));
  }
}

TEST(Scheduling, per_epoch_holds_through_the_epoch) {
  std::vector<double> rates;
  auto probe = std::make_shared<Probe>();
  probe->batch = [&](auto& run) {
    if (run.training()) rates.push_back(run.optimizer->groups()[0].lr);
  };
  tiny_learner({std::make_shared<Scheduling>(exponential(0.5), Every::epoch), probe}).fit(2);
  EXPECT_THAT(rates, testing::ElementsAre(0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05));
}

TEST(StopOnRequest, ends_the_fit_with_the_batch_recorded) {
  std::stop_source source;
  auto probe = std::make_shared<Probe>();
  probe->backward = [&source](auto& run) {
    if (run.step == 5) source.request_stop();
  };
  auto recorder = std::make_shared<Recorder>();
  Learner learner =
      tiny_learner({std::make_shared<StopOnRequest>(source.get_token()), recorder, probe});
  const FitResult result = learner.fit(3);
  EXPECT_EQ(result.status, "interrupted");
  EXPECT_EQ(recorder->batches().back().step, 5);
  EXPECT_EQ(recorder->epochs().size(), 2u);
}

TEST(StopOnDivergence, keeps_the_last_finite_weights) {
  for (const bool loss : {true, false}) {
    auto probe = std::make_shared<Probe>();
    Learner learner = tiny_learner({std::make_shared<StopOnDivergence>()});
    Tensor before;
    learner.run().parts.get_loss = [&, loss](auto& run) {
      run.loss = run.loss_function(run.predictions, run.batch.y);
      if (run.step != 2) return;
      before = weight_of(learner).detach().clone();
      const double nan = std::numeric_limits<double>::quiet_NaN();
      // A loss that is not finite, or one whose gradient alone is not: √0 · 0.
      run.loss = loss ? run.loss * nan : run.loss + (run.predictions.sum() * 0).sqrt();
    };
    const FitResult result = learner.fit(1);
    EXPECT_EQ(result.status, "diverged");
    EXPECT_THAT(result.reason,
                HasSubstr(loss ? "loss is nan at step 2" : "gradients are not finite at step 2"));
    EXPECT_TRUE(torch::equal(weight_of(learner), before));
  }
}

TEST(StopOnDivergence, sees_what_the_last_step_ruined) {
  const float inf = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();  // finite, but no product of it is
  for (const float weight : {inf, largest}) {
    Learner learner = tiny_learner({std::make_shared<StopOnDivergence>()});
    learner.run().parts.step = [weight](auto& run) {
      run.optimizer->step();
      if (run.step != 3) return;
      const torch::NoGradGuard no_grad;
      run.model->parameters()[0].fill_(weight);
    };
    const FitResult result = learner.fit(1);
    EXPECT_EQ(result.status, "diverged");
    EXPECT_THAT(result.reason, weight == inf ? HasSubstr("weights are not finite at step 4")
                                             : HasSubstr("evaluation loss is"));
  }
}

// A metric of each epoch's value in turn.
MetricPtr told(std::vector<double> values) {
  struct Told : Metric {
    explicit Told(std::vector<double> v) : values(std::move(v)) {}
    MetricInfo info() const override { return {"told", "told", "", false}; }
    void reset() override { ++at; }
    void update(const Tensor&, const Tensor&, double) override {}
    double value() const override { return values[static_cast<std::size_t>(at / 2)]; }
    NamedTensors state() const override { return {}; }
    void load_state(const NamedTensors&) override {}
    std::vector<double> values;
    int at = -1;
  };
  return std::make_shared<Told>(std::move(values));
}

TEST(EarlyStopping, bears_its_patience_and_no_more) {
  const std::vector<MetricPtr> metrics{told({1.0, 0.8, 0.9, 0.85, 0.9, 0.7})};
  Learner learner = tiny_learner(
      {std::make_shared<Metrics>(metrics),
       std::make_shared<EarlyStopping>(EarlyStoppingOptions{.metric = "told", .patience = 1})});
  const FitResult result = learner.fit(6);
  EXPECT_EQ(result.status, "cancelled");
  EXPECT_THAT(result.reason, HasSubstr("told has not improved on 0.8000 for 2 evaluations"));
  EXPECT_EQ(learner.run().epoch, 4);
}

TEST(EarlyStopping, leaves_a_fit_complete_that_has_made_its_last_epoch) {
  struct Last : RowSink {
    void end(const EndRow& row) override { status = row.status; }
    std::string status;
  };
  const auto last = std::make_shared<Last>();
  const std::vector<MetricPtr> metrics{told({1.0, 0.8, 0.9, 0.85})};
  Learner learner = tiny_learner(
      {std::make_shared<Metrics>(metrics),
       std::make_shared<Recorder>(std::vector<RowSinkPtr>{last}),
       std::make_shared<EarlyStopping>(EarlyStoppingOptions{.metric = "told", .patience = 1})});
  const FitResult result = learner.fit(4);
  EXPECT_TRUE(result.completed());
  EXPECT_EQ(result.reason, "");
  EXPECT_EQ(last->status, "completed");
}

TEST(EarlyStopping, names_a_metric_that_is_not_there) {
  Learner learner = tiny_learner(
      {Metrics::usual(2), std::make_shared<EarlyStopping>(EarlyStoppingOptions{"f1"})});
  EXPECT_THROW(learner.fit(1), Error);
}

TEST(BatchTransform, changes_what_the_model_sees) {
  Tensor seen;
  auto probe = std::make_shared<Probe>();
  probe->batch = [&seen](auto& run) { seen = run.batch.x; };
  Learner learner = tiny_learner({normalize_batch(0.5, 2), probe});
  learner.fit(1);
  const Tensor x = learner.run().loaders.eval->get(0, 3).x;
  EXPECT_TRUE(torch::allclose(seen, (x - 0.5) / 2));
}

TEST(Recorder, has_a_row_for_every_batch_and_pass_and_tells_its_sinks) {
  struct Sink : RowSink {
    void begin(const RunRow& row) override { run = row; }
    void batch(const BatchRow&) override { ++batches; }
    void epoch(const EpochRow&) override { ++epochs; }
    void end(const EndRow& row) override { status = row.status; }
    RunRow run;
    int batches = 0, epochs = 0;
    std::string status;
  };
  auto sink = std::make_shared<Sink>();
  auto recorder = std::make_shared<Recorder>(std::vector<RowSinkPtr>{sink});
  Learner learner = tiny_learner({recorder, Metrics::usual(2)});
  learner.fit(2);
  EXPECT_EQ(sink->run.batches, 4);
  EXPECT_EQ(sink->run.metrics.at(0).title, "MulticlassAccuracy");
  EXPECT_EQ(sink->batches, 16);
  EXPECT_EQ(sink->epochs, 4);
  EXPECT_EQ(sink->status, "completed");
  ASSERT_EQ(recorder->batches().size(), 8u);
  EXPECT_EQ(recorder->batches()[5].step, 5);
  EXPECT_EQ(recorder->batches()[5].lr, 0.1);
  ASSERT_EQ(recorder->epochs().size(), 4u);
  EXPECT_EQ(recorder->epochs()[2].step, 8);
  EXPECT_EQ(recorder->epochs()[2].metrics.at(1).first, "loss");
}

}  // namespace
}  // namespace fatwood
