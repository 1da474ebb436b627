// Initial weights: PyTorch's defaults, and the page's `init_leaky_weights`.
#pragma once

#include <torch/nn/module.h>

namespace fatwood {

/// PyTorch's Conv2d default: weight uniform in ±1/√fan_in, and the bias likewise where it is
/// defined.
void init_as_conv2d(torch::Tensor& weight, torch::Tensor& bias);

/// Every Conv in `module`: weight ~ kaiming normal, fan-in, with leaky_relu's gain for its own
/// slope a; a = 0 where it has no activation. Touches nothing else: an `id_conv` keeps PyTorch's
/// default. Source: He et al., "Delving Deep into Rectifiers", eq. 15.
void init_leaky_weights(torch::nn::Module& module);

}  // namespace fatwood
