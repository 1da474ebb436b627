// For tests that need a GPU, or kernels that run on the processor in its place (emulated.cpp).
#pragma once

#include <gtest/gtest.h>

#include <fatwood/cuda/cuda.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

#ifdef FATWOOD_EMULATED
constexpr bool kEmulated = true;
constexpr torch::DeviceType kGpu = torch::kCPU;
#else
constexpr bool kEmulated = false;
constexpr torch::DeviceType kGpu = torch::kCUDA;
#endif

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(0);
    // What is compared with LibTorch's operators is convolved in full floats.
    at::globalContext().setAllowTF32CuDNN(false);
    if (kEmulated) return;
    if (!cuda::built()) GTEST_SKIP() << "this build is without CUDA";
    if (!torch::cuda::is_available())
      GTEST_SKIP() << "this machine has no GPU that LibTorch can use";
  }
};

inline Tensor channels_last(const Tensor& x) {
  return x.contiguous(torch::MemoryFormat::ChannelsLast);
}

inline Tensor to_gpu(const Tensor& tensor) {
  return tensor.to(kGpu);
}

}  // namespace fatwood
