// A training step's loss and its gradient in one launch, where LibTorch's operators take six.
#pragma once

#include <fatwood/cuda/cuda.h>

namespace fatwood::cuda {

/// Whether cross_entropy() has a kernel for it, and OwnKernels (activation_norm.h) are active: x
/// (N, classes) on a GPU, dense floats, 64 classes and 65,536 values at most; targets (N) of int64
/// on the same device. False in a build without CUDA.
bool takes_cross_entropy(const Tensor& x, const Tensor& targets);

/// torch::cross_entropy_loss(x, targets): the mean over the rows whose target is not −100. Where
/// another target is no class, the loss is NaN. Its backward pass throws Error{model} under
/// create_graph.
Tensor cross_entropy(const Tensor& x, const Tensor& targets);

}  // namespace fatwood::cuda
