// Convolutions of few channels by tiles of fatwood's own on the tensor cores, where LibTorch's
// library (cuDNN) reaches a few percent of them.
#pragma once

#include <fatwood/cuda/cuda.h>

namespace fatwood::cuda {

/// Whether convolution() has a kernel for it, and OwnKernels (activation_norm.h) are active: x
/// (N, C, H, W) on a GPU, floats or bfloat16 in channels-last order; weight (O, C, K, K) of floats
/// in the same order, K odd and 7 at most, C and O 32 at most, K·K·C 288 at most;
/// fewer than 2^24 pixels; stride 1 or 2; TF32 is allowed
/// in convolutions, as it is by default, and the device's tensor cores multiply it. False in a
/// build without CUDA.
bool takes_convolution(const Tensor& x, const Tensor& weight, std::int64_t stride);

/// torch::conv2d with padding K / 2; `bias`, of O dense floats, may be undefined. Products are
/// TF32, sums float; the bias's gradient may sum what was rounded to TF32. Under autocast to
/// bfloat16, x is taken as that, and so is the result. Its backward pass throws Error{model} under
/// create_graph.
Tensor convolution(const Tensor& x, const Tensor& weight, const Tensor& bias, std::int64_t stride);

/// Whether average_pool() has a kernel for it: as for convolution()'s x, of any number of channels,
/// and fewer than 2^30 values.
bool takes_average_pool(const Tensor& x);

/// torch::avg_pool2d of 2 × 2, stride 2, with ceil_mode. Its backward pass throws Error{model}
/// under create_graph.
Tensor average_pool(const Tensor& x);

}  // namespace fatwood::cuda
