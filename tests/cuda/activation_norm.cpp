#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/conv.h>

#include "cuda/gpu.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

using GpuNorm = Gpu;

struct NormCase {
  std::int64_t n, channels, height, width;
};

double relative_error(const Tensor& found, const Tensor& wanted) {
  const Tensor f = found.detach().to(torch::kCPU, torch::kDouble);
  const Tensor w = wanted.detach().to(torch::kCPU, torch::kDouble);
  return ((f - w).abs().max() / (w.abs().max() + 1e-12)).item<double>();
}

// Against LibTorch's operators in doubles on the processor.
TEST_F(GpuNorm, is_activation_then_norm) {
  const cuda::OwnKernels own;
  for (const NormCase c : {NormCase{2, 1, 1, 1},
                           {3, 8, 5, 7},
                           {17, 10, 1, 1},
                           {5, 130, 3, 3},
                           {4, 300, 2, 3},
                           {64, 32, 14, 14},
                           {20, 136, 9, 9},
                           {kEmulated ? 40 : 512, 8, 28, 28}}) {
    for (const bool act : {true, false}) {
      for (const torch::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
        SCOPED_TRACE(std::to_string(c.n) + "x" + std::to_string(c.channels) + "x" +
                     std::to_string(c.height) + (act ? " act " : " ") + toString(type));
        const double tolerance = type == torch::kFloat ? 2e-5 : 2e-2;
        Tensor x = channels_last(to_gpu(torch::randn({c.n, c.channels, c.height, c.width}) + 0.5))
                       .to(type)
                       .requires_grad_();
        const Tensor dy =
            channels_last(to_gpu(torch::randn({c.n, c.channels, c.height, c.width}))).to(type);
        torch::nn::BatchNorm2d norm(c.channels), wanted_norm(c.channels);
        {
          const torch::NoGradGuard no_grad;
          norm->weight.uniform_(0.5, 2);
          norm->bias.uniform_(-1, 1);
          wanted_norm->weight.copy_(norm->weight);
          wanted_norm->bias.copy_(norm->bias);
        }
        norm->to(kGpu);
        wanted_norm->to(torch::kDouble);
        ASSERT_TRUE(cuda::takes_norm(x, *norm));
        const Tensor y = cuda::activation_norm(
            x, act ? cuda::Activation{.leak = 0.1F, .shift = 0.4F} : cuda::Activation{}, *norm);
        y.backward(dy);

        Tensor x64 = x.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
        const Tensor y64 =
            wanted_norm->forward(act ? general_relu(x64, {.a = 0.1, .b = 0.4}) : x64);
        y64.backward(dy.to(torch::kCPU, torch::kDouble));
        EXPECT_LT(relative_error(y, y64), tolerance);
        // Of two values a channel little is left of dy, and of that rounding is much.
        const double scale = (dy.abs().max() * norm->weight.abs().max()).item<double>();
        EXPECT_LT(
            (x.grad().to(torch::kCPU, torch::kDouble) - x64.grad()).abs().max().item<double>(),
            tolerance * scale * (c.n > 2 ? 5 : 500));
        EXPECT_LT(relative_error(norm->weight.grad(), wanted_norm->weight.grad()), tolerance);
        EXPECT_LT(relative_error(norm->bias.grad(), wanted_norm->bias.grad()), tolerance);
        EXPECT_LT(relative_error(norm->running_mean, wanted_norm->running_mean), tolerance);
        EXPECT_LT(relative_error(norm->running_var, wanted_norm->running_var), tolerance);
        EXPECT_EQ(norm->num_batches_tracked.item<std::int64_t>(), 1);
        EXPECT_EQ(y.scalar_type(), type);
      }
    }
  }
}

// Behind the norm a sum with another tensor, and ReLU; against doubles on the processor.
TEST_F(GpuNorm, norm_relu_is_relu_behind_a_norm_and_a_sum) {
  const cuda::OwnKernels own;
  for (const NormCase c : {NormCase{9, 6, 3, 5}, {17, 64, 7, 7}, {20, 136, 9, 9}}) {
    for (const bool skips : {false, true}) {
      for (const torch::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
        SCOPED_TRACE(std::to_string(c.channels) + (skips ? " channels, skip, " : " channels, ") +
                     toString(type));
        const double tolerance = type == torch::kFloat ? 2e-5 : 2e-2;
        const auto draw = [&] {
          return channels_last(to_gpu(torch::randn({c.n, c.channels, c.height, c.width}))).to(type);
        };
        Tensor x = draw().requires_grad_(), skip = draw().requires_grad_();
        const Tensor dy = draw();
        torch::nn::BatchNorm2d norm(c.channels), wanted_norm(c.channels);
        norm->to(kGpu);
        wanted_norm->to(torch::kDouble);
        const Tensor y = cuda::norm_relu(x, *norm, skips ? skip : Tensor());
        y.backward(dy);

        Tensor x64 = x.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
        Tensor skip64 = skip.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
        const Tensor normed = wanted_norm->forward(x64);
        const Tensor y64 = (skips ? normed + skip64 : normed).relu();
        // Where the sum is near zero, rounding decides on which side of the kink it is.
        const Tensor side = y.detach().to(torch::kCPU, torch::kDouble).gt(0);
        (skips ? normed + skip64 : normed).backward(dy.to(torch::kCPU, torch::kDouble) * side);
        EXPECT_LT(relative_error(y, y64), tolerance);
        EXPECT_LT(relative_error(x.grad(), x64.grad()), 5 * tolerance);
        if (skips) {
          EXPECT_LT(relative_error(skip.grad(), skip64.grad()), tolerance);
        }
        EXPECT_EQ(skip.grad().defined(), skips);
        EXPECT_LT(relative_error(norm->weight.grad(), wanted_norm->weight.grad()), tolerance);
        EXPECT_LT(relative_error(norm->bias.grad(), wanted_norm->bias.grad()), tolerance);
        EXPECT_LT(relative_error(norm->running_var, wanted_norm->running_var), tolerance);
      }
    }
  }
}

// Of channels that divide by four, from an address that does not.
TEST_F(GpuNorm, takes_values_that_are_not_aligned) {
  const cuda::OwnKernels own;
  const Tensor aligned = channels_last(to_gpu(torch::randn({5, 8, 3, 3})));
  const auto moved = [&](const Tensor& x) {
    const Tensor memory = torch::empty({x.numel() + 1}, x.options());
    return memory.as_strided(x.sizes(), x.strides(), 1).copy_(x);
  };
  std::vector<std::vector<Tensor>> results;
  for (const bool move : {false, true}) {
    const auto place = [&](const Tensor& x) { return (move ? moved(x) : x.clone()).detach(); };
    Tensor x = place(aligned).requires_grad_(), skip = place(aligned).requires_grad_();
    torch::nn::BatchNorm2d norm(8);
    norm->to(kGpu);
    const Tensor y = cuda::norm_relu(x, *norm, skip);
    const Tensor sum = cuda::sum_activation(x, skip, {.leak = 0.1F, .shift = 0.4F});
    torch::autograd::backward({y, sum}, {place(aligned), place(aligned)});
    results.push_back({y, sum, x.grad(), skip.grad(), norm->weight.grad()});
  }
  for (std::size_t i = 0; i < results[0].size(); ++i)
    EXPECT_LT(relative_error(results[1][i], results[0][i]), 1e-5) << i;
}

TEST_F(GpuNorm, keeps_what_is_no_number_and_infinities) {
  const cuda::OwnKernels own;
  Tensor x = torch::zeros({1, 4, 2, 2});
  x[0][0][0][0] = -std::numeric_limits<float>::infinity();
  x[0][1][0][0] = std::numeric_limits<float>::quiet_NaN();
  x = channels_last(to_gpu(x));
  const Tensor y =
      cuda::sum_activation(x, torch::zeros_like(x), {.leak = 0, .shift = 0}).to(torch::kCPU);
  EXPECT_EQ(y[0][0][0][0].item<float>(), 0) << "relu(−∞), as LibTorch has it";
  EXPECT_TRUE(std::isnan(y[0][1][0][0].item<float>()));
  // Backwards, too, as LibTorch's relu has it.
  Tensor u = x.clone().requires_grad_();
  const Tensor slopes = torch::full_like(x, std::numeric_limits<float>::infinity());
  cuda::sum_activation(u, torch::zeros_like(x), {.leak = 0, .shift = 0}).backward(slopes);
  Tensor wanted = x.to(torch::kCPU).clone().requires_grad_();
  wanted.relu().backward(slopes.to(torch::kCPU));
  EXPECT_TRUE(u.grad().to(torch::kCPU).equal(wanted.grad()));
}

TEST_F(GpuNorm, gives_the_same_bits_each_time) {
  const cuda::OwnKernels own;
  const Tensor x = channels_last(to_gpu(torch::randn({64, 16, 14, 14})));
  std::vector<Tensor> results;
  for (int i = 0; i < 3; ++i) {
    torch::nn::BatchNorm2d norm(16);
    norm->to(kGpu);
    Tensor leaf = x.clone().requires_grad_();
    const Tensor y = cuda::activation_norm(leaf, {.leak = 0.1F, .shift = 0.4F}, *norm);
    y.square().sum().backward();
    results.push_back(
        torch::cat({y.flatten(), leaf.grad().flatten(), norm->weight.grad(), norm->running_var}));
  }
  EXPECT_TRUE(results[0].equal(results[1]));
  EXPECT_TRUE(results[0].equal(results[2]));
}

TEST_F(GpuNorm, sum_activation_is_the_activation_of_a_sum) {
  const cuda::OwnKernels own;
  for (const torch::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
    for (const std::int64_t channels : {5, 8}) {
      const auto draw = [&] {
        return channels_last(to_gpu(torch::randn({3, channels, 7, 9}))).to(type).requires_grad_();
      };
      Tensor u = draw(), v = draw();
      const Tensor dy = draw().detach();
      ASSERT_TRUE(cuda::takes_sum(u, v));
      const Tensor y = cuda::sum_activation(u, v, {.leak = 0.1F, .shift = 0.4F});
      y.backward(dy);
      Tensor u64 = u.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
      Tensor v64 = v.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
      const Tensor y64 = general_relu(u64 + v64, {.a = 0.1, .b = 0.4});
      y64.backward(dy.to(torch::kCPU, torch::kDouble));
      const double tolerance = type == torch::kFloat ? 1e-6 : 1e-2;
      EXPECT_LT(relative_error(y, y64), tolerance);
      EXPECT_LT(relative_error(u.grad(), u64.grad()), tolerance);
      EXPECT_LT(relative_error(v.grad(), v64.grad()), tolerance);
    }
  }
}

TEST_F(GpuNorm, leaves_to_libtorch_what_it_has_no_kernel_for) {
  torch::nn::BatchNorm2d norm(4);
  norm->to(kGpu);
  const Tensor x = channels_last(to_gpu(torch::randn({2, 4, 3, 3})));
  EXPECT_FALSE(cuda::takes_norm(x, *norm)) << "OwnKernels are not active";
  const cuda::OwnKernels own;
  EXPECT_TRUE(cuda::takes_norm(x, *norm));
  EXPECT_FALSE(cuda::takes_norm(x.contiguous(), *norm)) << "not channels-last";
  EXPECT_FALSE(cuda::takes_norm(x.to(torch::kDouble), *norm));
  EXPECT_FALSE(cuda::takes_norm(x.narrow(0, 0, 1).narrow(2, 0, 1).narrow(3, 0, 1), *norm))
      << "one value a channel";
  norm->eval();
  EXPECT_FALSE(cuda::takes_norm(x, *norm)) << "evaluation";
}

TEST_F(GpuNorm, refuses_a_second_derivative) {
  const cuda::OwnKernels own;
  torch::nn::BatchNorm2d norm(4);
  norm->to(kGpu);
  Tensor x = channels_last(to_gpu(torch::randn({2, 4, 3, 3}))).requires_grad_();
  const Tensor y = cuda::activation_norm(x, {}, *norm).sum();
  EXPECT_THAT(thrown_by([&] {
                torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
              }),
              error_with(ErrorKind::model, "create_graph"));
}

/// A block's output and its parameters' gradients.
std::vector<Tensor> block_results(bool act, bool own_kernels) {
  torch::manual_seed(3);
  const LayerPtr block = make<ResidualConvBlock>({.c_in = 8, .c_out = 16, .stride = 2, .act = act});
  block->to(kGpu);
  for (Tensor& p : block->parameters()) {
    if (p.dim() == 4) p.set_data(channels_last(p.detach()));
  }
  const Tensor x = channels_last(to_gpu(torch::randn({9, 8, 13, 13})));
  std::optional<cuda::OwnKernels> kernels;
  if (own_kernels) kernels.emplace();
  const Tensor y = block->forward(x);
  (y * channels_last(to_gpu(torch::randn(y.sizes())))).sum().backward();
  std::vector<Tensor> results{y};
  for (const Tensor& p : block->parameters()) results.push_back(p.grad());
  return results;
}

TEST_F(GpuNorm, blocks_compute_what_libtorchs_operators_do) {
  at::globalContext().setAllowTF32CuDNN(true);  // else convolutions stay LibTorch's
  for (const bool act : {false, true}) {
    const std::vector<Tensor> wanted = block_results(act, false), found = block_results(act, true);
    ASSERT_EQ(found.size(), wanted.size());
    // TF32 rounds; where there is an activation, some values pass its kink by that, and a gradient
    // is a sum of few.
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_LT(relative_error(found[i], wanted[i]), act ? 6e-2 : 5e-3) << act << ", " << i;
  }
}

}  // namespace
}  // namespace fatwood
