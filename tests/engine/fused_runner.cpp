// Who else may come to a model while its runner works: other threads, and taps that run the model,
// stand twice in a stretch or are placed on the way.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include <fatwood/engine/engine.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>

#include "on_kernels.h"

namespace fatwood {
namespace {

constexpr TapRequest kMomentsOfEvaluation{.moments = true, .training = false, .evaluation = true};

/// Two layers in evaluation mode, on the kernels as one stretch.
std::shared_ptr<Sequential> evaluated_stretch() {
  torch::manual_seed(31);
  const auto model = make<Sequential>({make<ResidualConvBlock>({.c_in = 1, .c_out = 8}),
                                       make<Conv>({.c_in = 8, .c_out = 4, .stride = 1})});
  put_on_kernels(*model);
  model->eval();
  return model;
}

TEST(FusedRunner, threads_that_share_a_model_get_what_each_gets_alone) {
  const auto model = evaluated_stretch();
  Tensor inputs[2], wanted[2];
  for (int i = 0; i < 2; ++i) {
    const torch::NoGradGuard no_grad;
    inputs[i] = torch::randn({48, 1, 12, 12});
    wanted[i] = model->forward(inputs[i]);
  }
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> running;
    for (int i = 0; i < 2; ++i) {
      running.emplace_back([&, i] {
        const torch::NoGradGuard no_grad;  // each thread's own
        for (int pass = 0; pass < 200; ++pass) {
          if (!torch::equal(model->forward(inputs[i]), wanted[i])) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong.load(), 0);
}

TEST(FusedRunner, a_tap_may_run_the_model_again) {
  const auto model = evaluated_stretch();
  const torch::NoGradGuard no_grad;
  const Tensor x = torch::randn({16, 1, 8, 8}), other = torch::randn({16, 1, 8, 8}) + 1;
  const double wanted = measure_activation(model->forward(x), false).mean;
  const double wanted_inside = measure_activation(model->forward(other), false).mean;
  bool inside = false;
  std::vector<double> means;
  const TapHandle runs =
      (*model)[0]->add_tap({.request = kMomentsOfEvaluation, .deliver = [&](const TapReading&) {
                              if (inside) return;
                              inside = true;
                              model->forward(other);
                              inside = false;
                            }});
  const TapHandle reads = (*model)[1]->add_tap(
      {.request = kMomentsOfEvaluation,
       .deliver = [&](const TapReading& reading) { means.push_back(reading.statistics->mean); }});
  model->forward(x);
  ASSERT_EQ(means.size(), 2U);
  EXPECT_NEAR(means[0], wanted_inside, 1e-5);
  EXPECT_NEAR(means[1], wanted, 1e-5);
}

TEST(FusedRunner, a_layer_that_stands_twice_in_a_stretch_moves_its_taps_on_in_between) {
  for (const bool tensors : {false, true}) {
    torch::manual_seed(32);
    const LayerPtr conv = make<Conv>({.c_in = 2, .c_out = 2, .stride = 1});
    const auto model = make<Sequential>({conv, conv});
    put_on_kernels(*model);
    model->eval();
    TapRequest second_of_two = kMomentsOfEvaluation;
    second_of_two.tensors = tensors;
    second_of_two.period = 2;
    second_of_two.first_pass = 1;
    std::vector<double> means;
    const TapHandle handle =
        conv->add_tap({.request = second_of_two, .deliver = [&](const TapReading& reading) {
                         means.push_back(reading.statistics->mean);
                         EXPECT_EQ(reading.output.defined(), tensors || PlainExecution::active());
                       }});
    const torch::NoGradGuard no_grad;
    const Tensor x = torch::randn({16, 2, 8, 8});
    model->forward(x);
    const PlainExecution plainly;
    model->forward(x);
    ASSERT_EQ(means.size(), 2U);
    EXPECT_NEAR(means[0], means[1], 1e-5);
  }
}

TEST(FusedRunner, what_comes_before_a_layer_is_called_when_its_tap_is_due) {
  const auto model = evaluated_stretch();
  TapRequest request = kMomentsOfEvaluation;
  request.period = 2;
  std::string calls;
  const TapHandle handle =
      (*model)[1]->add_tap({.request = request,
                            .deliver = [&](const TapReading&) { calls += "after "; },
                            .before = [&] { calls += "before "; }});
  const torch::NoGradGuard no_grad;
  for (int pass = 0; pass < 4; ++pass) model->forward(torch::randn({16, 1, 8, 8}));
  EXPECT_EQ(calls, "before after before after ");
}

TEST(FusedRunner, a_tap_placed_while_the_stretch_is_served_begins_with_the_next_pass) {
  const auto model = evaluated_stretch();
  int served = 0;
  std::vector<TapHandle> placed;
  TapRequest once = kMomentsOfEvaluation;
  once.period = 100;
  const TapHandle places = (*model)[0]->add_tap(
      {.request = once, .deliver = [&](const TapReading&) {
         placed.push_back((*model)[1]->add_tap(
             {.request = kMomentsOfEvaluation, .deliver = [&served](const TapReading& reading) {
                EXPECT_TRUE(reading.statistics.has_value());
                ++served;
              }}));
       }});
  const torch::NoGradGuard no_grad;
  const Tensor x = torch::randn({16, 1, 8, 8});
  model->forward(x);
  EXPECT_EQ(placed.size(), 1U);
  EXPECT_EQ(served, 0);
  model->forward(x);
  EXPECT_EQ(served, 1);
}

}  // namespace
}  // namespace fatwood
