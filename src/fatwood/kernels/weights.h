// A convolution's weights on their way into the kernels and their gradient on its way out, beyond
// what packing.h does for one shape. Internal to the stretch's sources.
#pragma once

#include <algorithm>

#include <fatwood/kernels/plan.h>
#include <fatwood/kernels/winograd.h>

namespace fatwood::kernels {

/// The middle taps of a convolution over one pixel; nothing for others.
inline void gather_middle(const Convolution& c, const ParallelFor& parallel) {
  const std::int64_t taps = c.taps_in_parameter;
  parallel.for_each_part(static_cast<std::int64_t>(c.middle.size()), 1024,
                         [&](int, std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             c.middle[static_cast<std::size_t>(i)] =
                                 c.weight->value[i * taps + taps / 2];
                           }
                         });
}

/// The gradient of the one tap that meets the image; the others' is zero.
inline void spread_middle(const Convolution& c, const ParallelFor& parallel) {
  const std::int64_t taps = c.taps_in_parameter;
  parallel.for_each_part(static_cast<std::int64_t>(c.middle_gradient.size()), 1024,
                         [&](int, std::int64_t begin, std::int64_t end) {
                           float* to = c.weight->grad;
                           std::fill(to + begin * taps, to + end * taps, 0.0F);
                           for (std::int64_t i = begin; i < end; ++i) {
                             to[i * taps + taps / 2] =
                                 c.middle_gradient[static_cast<std::size_t>(i)];
                           }
                         });
}

/// The weights of every part of the input gradient.
inline void pack_input_gradient(const Plan& plan, Convolution& c, const ParallelFor& parallel) {
  for (GradientPart& part : c.gradient_parts) {
    if (c.winograd) {
      pack_winograd_gradient(c.shape, plan.winograd_block, c.values(), part.weights.data(),
                             parallel);
    } else {
      pack_gradient(c.shape, plan.block, c.values(), part.y, part.x, part.weights.data(), parallel);
    }
  }
}

}  // namespace fatwood::kernels
