// Where the folder's kernels run. With FATWOOD_EMULATED, which the tests set, that is the processor
// (tests/cuda/emulated.cpp). Private to cuda.
#pragma once

#include <cstdint>

#include <torch/types.h>

#ifndef FATWOOD_EMULATED
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace fatwood::cuda {

#ifdef FATWOOD_EMULATED
inline constexpr torch::DeviceType kDevice = torch::kCPU;
inline int current_device() {
  return -1;  // the processor's index
}
#else
inline constexpr torch::DeviceType kDevice = torch::kCUDA;
inline int current_device() {
  return c10::cuda::current_device();
}
#endif

/// Whether it is where launch() runs kernels.
inline bool on_device(const torch::Tensor& x) {
  return x.device().type() == kDevice && x.device().index() == current_device();
}

}  // namespace fatwood::cuda
