// Batch norm with what stands around it (an activation before, or a sum and ReLU behind), and the
// activation of a sum, as autograd functions over kernels of fatwood's own: LibTorch makes a
// kernel, and a tensor in memory, of each leaky_relu, each subtraction, each sum.
#pragma once

#include <torch/nn/modules/batchnorm.h>

#include <fatwood/cuda/cuda.h>

namespace fatwood::cuda {

/// act(x) = (x > 0 ? x : leak·x) − shift. By default act(x) = x.
struct Activation {
  float leak = 1;
  float shift = 0;
};

/// While one lives, this thread's layers and the default loss use what follows, convolution.h and
/// cross_entropy.h where these take their tensors; else they are LibTorch's operators.
class OwnKernels {
 public:
  OwnKernels() { ++depth_; }
  ~OwnKernels() { --depth_; }
  OwnKernels(const OwnKernels&) = delete;
  OwnKernels& operator=(const OwnKernels&) = delete;
  static bool active() { return depth_ > 0; }

 private:
  static inline thread_local int depth_ = 0;
};

/// Whether activation_norm() has a kernel for it, and OwnKernels are active: x (N, C, H, W) on a
/// GPU, floats or bfloat16 in channels-last order, more than one value a channel; a norm in
/// training whose parameters and running statistics are floats on the same device, with a momentum.
/// False in a build without CUDA.
bool takes_norm(const Tensor& x, const torch::nn::BatchNorm2dImpl& norm);

/// norm(act(x)), and the norm's running statistics moved on. The variance is E[x²] − E[x]², of sums
/// that are floats in part: of values whose mean is a thousand times their deviation little is
/// left. Its backward pass throws Error{model} under create_graph.
Tensor activation_norm(const Tensor& x, Activation activation, torch::nn::BatchNorm2dImpl& norm);

/// relu(norm(x) + skip), and the norm's running statistics moved on; `skip`, which may be
/// undefined, is of x's type, sizes and strides. For what takes_norm(), and takes_sum() with a
/// skip. Its backward pass throws Error{model} under create_graph.
Tensor norm_relu(const Tensor& x, torch::nn::BatchNorm2dImpl& norm, const Tensor& skip = {});

/// Whether sum_activation() has a kernel for it, and OwnKernels are active: two tensors on a GPU of
/// equal type (float or bfloat16), sizes and strides, dense. False in a build without CUDA.
bool takes_sum(const Tensor& u, const Tensor& v);

/// act(u + v). Its backward pass throws Error{model} under create_graph.
Tensor sum_activation(const Tensor& u, const Tensor& v, Activation activation);

}  // namespace fatwood::cuda
