// Where the folder's kernels run. With FATWOOD_EMULATED, which the tests set, that is the processor
// (tests/cuda/emulated.cpp). Private to cuda.
#pragma once

#include <cstdint>

#include <torch/types.h>

#ifndef FATWOOD_EMULATED
#include <c10/cuda/CUDAStream.h>
#endif

namespace fatwood::cuda {

#ifdef FATWOOD_EMULATED
inline constexpr torch::DeviceType kDevice = torch::kCPU;
inline std::int64_t current_stream() {
  return 0;
}
#else
inline constexpr torch::DeviceType kDevice = torch::kCUDA;
inline std::int64_t current_stream() {
  return c10::cuda::getCurrentCUDAStream().id();
}
#endif

inline bool on_device(const torch::Tensor& x) {
  return x.device().type() == kDevice;
}

}  // namespace fatwood::cuda
