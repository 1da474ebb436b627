// Optimiser steps over flat memory: one call updates a whole arena of parameters in one pass. The
// schedule and the clipping belong to the caller.
#pragma once

#include <cstdint>
#include <span>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/parallel.h>

namespace fatwood::kernels {

/// torch.optim.AdamW's step number `step` (the first is 1), without amsgrad:
///
///     p ← p·(1 - lr·weight_decay)
///     m ← m + (1 - beta1)·(g - m)          v ← beta2·v + (1 - beta2)·g²
///     p ← p - lr/(1 - beta1ᵗ) · m / (√v/√(1 - beta2ᵗ) + eps)
struct AdamW {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  std::int64_t step = 1;
};

/// All spans have the same length, else Error{internal} is thrown; a parameter without gradient is
/// left out by its caller.
void adamw(const AdamW& options, std::span<float> param, std::span<const float> grad,
           std::span<float> exp_avg, std::span<float> exp_avg_sq, const ParallelFor& parallel = {},
           Isa isa = default_isa());

/// torch.optim.SGD's step:
///
///     g ← g + weight_decay·p
///     b ← momentum·b + (1 - dampening)·g   (b ← g where `first`)
///     p ← p - lr·(nesterov ? g + momentum·b : b)
struct Sgd {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool first = false;  ///< the buffer holds nothing yet
};

/// grad, and buffer where momentum is not 0, have param's length, else Error{internal} is thrown.
/// With momentum 0 buffer is not used and may be empty.
void sgd(const Sgd& options, std::span<float> param, std::span<const float> grad,
         std::span<float> buffer, const ParallelFor& parallel = {}, Isa isa = default_isa());

}  // namespace fatwood::kernels
