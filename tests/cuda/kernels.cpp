#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/model/tap.h>

#include "cuda/gpu.h"

namespace fatwood {
namespace {

using GpuKernels = Gpu;

TEST_F(GpuKernels, gather_scales_images_in_their_order) {
  for (const std::int64_t channels : {1, 3}) {
    const Tensor pixels = torch::randint(256, {23, channels, 5, 7}, torch::kByte);
    const Tensor labels = torch::randint(10, {23}, torch::kLong), order = torch::randperm(23);
    const cuda::DeviceImages images{
        .pixels = to_gpu(pixels), .labels = to_gpu(labels), .scale = 0.02F, .shift = -1.5F};
    const Tensor x = channels_last(to_gpu(torch::full({6, channels, 5, 7}, -9.0F)));
    const Tensor y = to_gpu(torch::full({6}, -9, torch::kLong));
    cuda::gather_images(images, to_gpu(order), /*first=*/11, x, y);
    const Tensor rows = order.narrow(0, 11, 6);
    EXPECT_TRUE(torch::allclose(x.to(torch::kCPU),
                                pixels.index_select(0, rows).to(torch::kFloat) * 0.02 - 1.5, 1e-6,
                                1e-6));
    EXPECT_TRUE(y.to(torch::kCPU).equal(labels.index_select(0, rows)));
  }
}

// 1 − beta2 is a float's difference here and on a GPU in LibTorch, a double's in LibTorch's
// operator on the processor.
TEST_F(GpuKernels, adamw_is_libtorchs) {
  const std::vector<std::vector<std::int64_t>> shapes{{1}, {3, 5}, {1024}, {1025}, {64, 32, 3, 3}};
  std::vector<Tensor> own, theirs, own_m, own_v, their_m, their_v, steps;
  for (const auto& shape : shapes) {
    Tensor p = to_gpu(torch::randn(shape));
    if (p.dim() == 4) p = p.contiguous(torch::MemoryFormat::ChannelsLast);
    own.push_back(p.clone());
    theirs.push_back(p.clone());
    for (auto* list : {&own_m, &own_v, &their_m, &their_v}) list->push_back(torch::zeros_like(p));
    steps.push_back(torch::zeros({}, p.options()));
  }
  cuda::AdamWPass pass;
  for (int step = 1; step <= 20; ++step) {
    std::vector<Tensor> gradients;
    for (const Tensor& p : own) gradients.push_back(torch::randn_like(p));
    const double lr = 1e-2 / step, beta1 = 0.85 + 0.005 * step;
    pass.run(own, gradients, own_m, own_v,
             {.lr = lr,
              .beta1 = beta1,
              .beta2 = 0.999,
              .weight_decay = 0.02,
              .eps = 1e-8,
              .step = static_cast<double>(step)});
    torch::_foreach_add_(steps, 1);
    at::_fused_adamw_(theirs, gradients, their_m, their_v, {}, steps, lr, beta1, 0.999, 0.02, 1e-8,
                      false, false);
  }
  for (std::size_t i = 0; i < own.size(); ++i) {
    EXPECT_TRUE(torch::allclose(own[i], theirs[i], 1e-5, 1e-6)) << i;
    EXPECT_TRUE(torch::allclose(own_m[i], their_m[i], 1e-5, 1e-6)) << i;
    EXPECT_TRUE(torch::allclose(own_v[i], their_v[i], 1e-4, 1e-7)) << i;
  }
}

ActivationStatistics measured_on_gpu(const Tensor& x, bool hist) {
  const Tensor there = to_gpu(x);
  EXPECT_TRUE(cuda::measurable(there));
  cuda::StatisticsScratch scratch;
  const Tensor out = torch::full({cuda::kStatistics}, -9.0, there.options().dtype(torch::kDouble));
  for (int i = 0; i < 2; ++i) cuda::measure(there, hist, scratch, out);  // leaves its scratch clean
  return statistics_of(out.to(torch::kCPU).const_data_ptr<double>(), hist);
}

TEST_F(GpuKernels, statistics_are_the_processors) {
  const Tensor nan = torch::full({}, std::numeric_limits<float>::quiet_NaN());
  std::vector<Tensor> tensors{torch::randn({1}), torch::randn({33}), 5 * torch::randn({7, 3, 5, 4}),
                              100 + torch::randn({64, 8, 14, 14}), torch::full({10}, 10.0F)};
  tensors.push_back(tensors[3].contiguous(torch::MemoryFormat::ChannelsLast));
  tensors.push_back(torch::cat({torch::randn({50}), nan.reshape({1})}));
  tensors.push_back((3 * torch::randn({513})).to(torch::kBFloat16));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    for (const bool hist : {false, true, true}) {
      const ActivationStatistics wanted = measure_activation(tensors[i], hist);
      const ActivationStatistics found = measured_on_gpu(tensors[i], hist);
      const auto expect_near = [&](double a, double b, const char* what) {
        if (std::isnan(b)) {
          EXPECT_TRUE(std::isnan(a)) << what << " of tensor " << i;
        } else {
          EXPECT_NEAR(a, b, 1e-5 * std::max(1.0, std::abs(b))) << what << " of tensor " << i;
        }
      };
      expect_near(found.mean, wanted.mean, "mean");
      expect_near(found.std, wanted.std, "std");
      EXPECT_EQ(found.hist, wanted.hist) << i;
    }
  }
}

}  // namespace
}  // namespace fatwood
