#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/optimizer.h>

namespace fatwood {
namespace {

void set_gradients(Layer& layer, int seed) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  for (Tensor parameter : layer.parameters())
    parameter.mutable_grad() = torch::randn_like(parameter);
}

// The update that the papers and PyTorch's documentation state, in double precision.
struct ReferenceAdamW {
  Tensor p, m, v;
  int t = 0;
  explicit ReferenceAdamW(const Tensor& parameter)
      : p(parameter.detach().to(torch::kDouble)),
        m(torch::zeros_like(p)),
        v(torch::zeros_like(p)) {}
  void step(const Tensor& grad, double lr, double beta1, double weight_decay) {
    const Tensor g = grad.to(torch::kDouble);
    ++t;
    p = p * (1 - lr * weight_decay);
    m = beta1 * m + (1 - beta1) * g;
    v = 0.999 * v + 0.001 * g * g;
    p = p - lr / (1 - std::pow(beta1, t)) * m / ((v / (1 - std::pow(0.999, t))).sqrt() + 1e-8);
  }
};

TEST(AdamW, follows_its_formula_while_rate_and_beta1_move) {
  const auto conv = make<Conv>({.c_in = 3, .c_out = 5});
  const OptimizerPtr optimizer = adamw(*conv, {.lr = 0.01});
  ReferenceAdamW reference(conv->weight);
  for (int i = 0; i < 20; ++i) {
    set_gradients(*conv, i);
    optimizer->groups()[0].lr = 0.01 / (i + 1);
    optimizer->groups()[0].momentum = 0.95 - 0.005 * i;
    reference.step(conv->weight.grad(), 0.01 / (i + 1), 0.95 - 0.005 * i, 0.01);
    optimizer->step();
    ASSERT_TRUE(torch::allclose(conv->weight.detach().to(torch::kDouble), reference.p, 1e-5, 1e-6))
        << i;
  }
}

TEST(AdamW, leaves_a_parameter_without_gradient_alone) {
  const auto conv = make<Conv>({});
  const OptimizerPtr optimizer = adamw(*conv, {.lr = 0.1, .weight_decay = 0.5});
  conv->norm->bias.mutable_grad() = torch::ones(8);
  const Tensor before = conv->weight.detach().clone();
  optimizer->step();
  EXPECT_TRUE(torch::equal(conv->weight, before));
  EXPECT_LT(conv->norm->bias.max().item<double>(), 0);
  EXPECT_EQ(optimizer->state().size(), 3u);
}

TEST(AdamW, decays_no_norms_and_biases_when_asked) {
  const auto conv = make<Conv>({});
  const OptimizerPtr optimizer = adamw(*conv, {.lr = 0.1, .weight_decay = 0.5, .decay_all = false});
  for (Tensor p : conv->parameters()) p.mutable_grad() = torch::zeros_like(p);
  const Tensor before = conv->weight.detach().clone();
  optimizer->step();
  EXPECT_TRUE(torch::allclose(conv->weight, before * 0.95));
  EXPECT_TRUE(torch::equal(conv->norm->weight, torch::ones(8)));
  EXPECT_EQ(optimizer->groups()[1].name, "no_decay");
}

TEST(AdamW, takes_gradients_of_any_layout) {
  const auto a = make<Conv>({.c_in = 3, .c_out = 5});
  const auto b = std::dynamic_pointer_cast<Conv>(a->clone());
  const OptimizerPtr of_a = adamw(*a), of_b = adamw(*b);
  set_gradients(*a, 1);
  set_gradients(*b, 1);
  b->weight.mutable_grad() = b->weight.grad().contiguous(torch::MemoryFormat::ChannelsLast);
  of_a->step();
  of_b->step();
  EXPECT_TRUE(torch::equal(a->weight, b->weight));
}

class EveryOptimizer
    : public testing::TestWithParam<std::function<OptimizerPtr(const torch::nn::Module&)>> {};
INSTANTIATE_TEST_SUITE_P(
    Optimizers, EveryOptimizer,
    testing::Values([](const torch::nn::Module& m) { return adamw(m, {.lr = 0.01}); },
                    [](const torch::nn::Module& m) { return sgd(m, {.lr = 0.01}); },
                    [](const torch::nn::Module& m) {
                      return sgd(m, {.lr = 0.01, .momentum = 0.9, .nesterov = true});
                    }));

TEST_P(EveryOptimizer, goes_on_from_its_state_to_the_bit) {
  const auto a = make<Conv>({.c_in = 3, .c_out = 5});
  const OptimizerPtr of_a = GetParam()(*a);
  for (int i = 0; i < 3; ++i) {
    set_gradients(*a, i);
    of_a->step();
  }
  const auto b = std::dynamic_pointer_cast<Conv>(a->clone());
  const OptimizerPtr of_b = GetParam()(*b);
  NamedTensors state;
  for (const auto& [key, value] : of_a->state()) state.emplace_back(key, value.clone());
  of_b->load_state(state);
  for (int i = 3; i < 6; ++i) {
    set_gradients(*a, i);
    set_gradients(*b, i);
    of_a->step();
    of_b->step();
  }
  EXPECT_TRUE(torch::equal(a->weight, b->weight));
}

TEST_P(EveryOptimizer, refuses_a_state_that_is_not_its_own) {
  const auto conv = make<Conv>({});
  const OptimizerPtr optimizer = GetParam()(*conv);
  for (const char* key : {"nothing.exp_avg", "weight.invented", "weight"}) {
    EXPECT_THROW(optimizer->load_state({{key, torch::zeros(1)}}), Error) << key;
  }
}

TEST(SGD, with_momentum_starts_from_the_first_gradient) {
  const auto conv = make<Conv>({});
  const OptimizerPtr optimizer = sgd(*conv, {.lr = 1, .momentum = 0.9});
  const Tensor start = conv->weight.detach().clone();
  conv->weight.mutable_grad() = torch::ones_like(conv->weight);
  optimizer->step();
  EXPECT_TRUE(torch::allclose(conv->weight, start - 1));
  optimizer->step();
  EXPECT_TRUE(torch::allclose(conv->weight, start - 1 - 1.9, 1e-5, 1e-5));
  EXPECT_EQ(optimizer->state().size(), 1u);
}

TEST(Optimizers, refuse_rates_that_cannot_be) {
  const auto conv = make<Conv>({});
  EXPECT_THROW(adamw(*conv, {.lr = -1}), Error);
  EXPECT_THROW(adamw(*conv, {.lr = NAN}), Error);
  EXPECT_THROW(adamw(*conv, {.beta1 = 1}), Error);
  EXPECT_THROW(sgd(*conv, {.lr = INFINITY}), Error);
  EXPECT_THROW(sgd(*conv, {.momentum = 0, .nesterov = true}), Error);
  try {
    adamw(*conv, {.lr = -1});
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("[adamw] learning rate -1.0"));
    EXPECT_EQ(error.kind(), ErrorKind::usage);
  }
}

}  // namespace
}  // namespace fatwood
