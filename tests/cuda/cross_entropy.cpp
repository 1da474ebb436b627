#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/cross_entropy.h>

#include "cuda/gpu.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

using GpuLoss = Gpu;

// Against LibTorch's operator in doubles on the processor.
TEST_F(GpuLoss, is_the_mean_cross_entropy) {
  const cuda::OwnKernels own;
  for (const auto& [rows, classes] : {std::pair{1, 1}, {3, 2}, {512, 10}, {513, 10}, {1000, 64}}) {
    for (const bool ignored : {false, true}) {
      SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(classes) + " classes" +
                   (ignored ? ", some of no class" : ""));
      // Of large numbers what is left is small, and its error must be that of the numbers.
      Tensor x = to_gpu(5 * torch::randn({rows, classes}) + (ignored ? 1e4 : 0)).requires_grad_();
      Tensor targets = torch::randint(classes, {rows}, torch::kLong);
      if (ignored) targets.slice(0, 1, rows, 3).fill_(-100);
      ASSERT_TRUE(cuda::takes_cross_entropy(x, to_gpu(targets)));
      const Tensor loss = cuda::cross_entropy(x, to_gpu(targets));
      (3 * loss).backward();
      Tensor x64 = x.detach().to(torch::kCPU, torch::kDouble).requires_grad_();
      const Tensor loss64 = torch::cross_entropy_loss(x64, targets);
      (3 * loss64).backward();
      const auto wanted = loss64.item<double>();
      EXPECT_NEAR(loss.item<double>(), wanted, 1e-6 * (1 + wanted));
      const Tensor error = x.grad().to(torch::kCPU, torch::kDouble) - x64.grad();
      EXPECT_LT(error.abs().max().item<double>(), 2e-6 * 3);
    }
  }
}

TEST_F(GpuLoss, is_not_a_number_where_there_is_no_loss) {
  const cuda::OwnKernels own;
  const auto loss_of = [&](const Tensor& x, std::int64_t target) {
    return cuda::cross_entropy(to_gpu(x), to_gpu(torch::full({2}, target, torch::kLong)))
        .item<double>();
  };
  EXPECT_TRUE(std::isnan(loss_of(torch::ones({2, 10}), 10))) << "no class";
  EXPECT_TRUE(std::isnan(loss_of(torch::ones({2, 10}), -1))) << "no class";
  EXPECT_TRUE(std::isnan(loss_of(torch::ones({2, 10}), -100))) << "no rows";
  Tensor x = torch::ones({2, 10});
  x[1][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(loss_of(x, 4)));
  x[1][3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(loss_of(x, 4))) << "as LibTorch has it";
}

TEST_F(GpuLoss, leaves_to_libtorch_what_it_has_no_kernel_for) {
  const Tensor x = to_gpu(torch::randn({4, 10})), y = to_gpu(torch::zeros({4}, torch::kLong));
  EXPECT_FALSE(cuda::takes_cross_entropy(x, y)) << "OwnKernels are not active";
  const cuda::OwnKernels own;
  EXPECT_TRUE(cuda::takes_cross_entropy(x, y));
  EXPECT_FALSE(cuda::takes_cross_entropy(x, torch::softmax(x, 1))) << "soft targets";
  EXPECT_FALSE(cuda::takes_cross_entropy(x.to(torch::kDouble), y));
  EXPECT_FALSE(cuda::takes_cross_entropy(to_gpu(torch::randn({10, 4})).t(), y)) << "not dense";
  EXPECT_FALSE(cuda::takes_cross_entropy(x, y.to(torch::kInt)));
  EXPECT_FALSE(cuda::takes_cross_entropy(to_gpu(torch::randn({6554, 10})),
                                         to_gpu(torch::zeros({6554}, torch::kLong))));
  EXPECT_FALSE(cuda::takes_cross_entropy(to_gpu(torch::randn({4, 65})), y));
}

TEST_F(GpuLoss, refuses_a_second_derivative) {
  const cuda::OwnKernels own;
  const Tensor x = to_gpu(torch::randn({4, 10})).requires_grad_();
  const Tensor loss = cuda::cross_entropy(x, to_gpu(torch::zeros({4}, torch::kLong)));
  EXPECT_THAT(thrown_by([&] {
                torch::autograd::grad({loss}, {x}, {}, /*retain_graph=*/true,
                                      /*create_graph=*/true);
              }),
              error_with(ErrorKind::model, "create_graph"));
}

}  // namespace
}  // namespace fatwood
