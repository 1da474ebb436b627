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
    if (plan.bf16()) {
      bf16_pack_gradient(c.shape, plan.block, c.values(), part.y, part.x, part.weights.data(),
                         parallel);
    } else if (c.winograd) {
      pack_winograd_gradient(c.shape, plan.lanes, c.values(), part.weights.data(), parallel);
    } else {
      pack_gradient(c.shape, plan.block, c.values(), part.y, part.x, part.weights.data(), parallel);
    }
  }
}

/// The inputs of `groups` groups as the bf16 weight gradients read them.
inline const float* split_channels(const Plan& plan, const WeightGradient& job,
                                   const ThreadMemory& memory, std::int64_t groups) {
  const std::int64_t pixels = static_cast<std::int64_t>(job.y.extent) * job.x.extent;
  for (std::int64_t i = 0; i < groups; ++i) {
    plan.table->split_channels(job.in + i * job.in_group, job.in_channels, pixels,
                               memory.split.data() + i * job.in_group);
  }
  return memory.split.data();
}

inline WinogradGradient winograd_job(const Plan& plan, const Convolution& c,
                                     const ThreadMemory& memory) {
  WinogradGradient job = winograd_gradient_job(c.shape, plan.lanes);
  job.vectors = c.vectors;
  job.tiles = memory.tiles;
  job.input_points = memory.input_points.data();
  job.gradient_points = memory.gradient_points.data();
  job.sums = memory.sums.data();
  return job;
}

}  // namespace fatwood::kernels
