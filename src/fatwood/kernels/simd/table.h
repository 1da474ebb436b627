// Gathers the kernels of the target that the including file is compiled for.
#pragma once

#include <fatwood/kernels/simd/bytes.h>
#include <fatwood/kernels/simd/correlate.h>
#include <fatwood/kernels/simd/elementwise.h>
#include <fatwood/kernels/simd/moments.h>
#include <fatwood/kernels/simd/optimiser.h>
#include <fatwood/kernels/simd/peak.h>
#include <fatwood/kernels/simd/rectify.h>
#include <fatwood/kernels/simd/transpose.h>
#include <fatwood/kernels/simd/weight_gradient.h>
#include <fatwood/kernels/simd/winograd_correlate.h>
#include <fatwood/kernels/simd/winograd_gradient.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr LayerKernels make_f32_layers() {
  return {
      .channel_block = kBlock,
      .correlate = correlate<Singles>,
      .correlate_winograd = correlate_winograd,
      .fold_stats = fold_stats,
      .turn_gradient = turn_gradient,
      .sum_gradient = sum_gradient,
      .weight_gradient_channel_lanes = weight_gradient_channel_lanes,
      .weight_gradient_few_channels = weight_gradient_image_lanes,
      .split_channels = nullptr,
      .winograd_gradient_add = winograd_gradient_add,
      .winograd_gradient_flush = winograd_gradient_flush,
      .interleave = interleave,
      .deinterleave = deinterleave,
      .norm_backward = norm_backward,
      .average_pool = average_pool,
      .average_pool_backward = average_pool_backward,
      .join = join,
      .gradient_sums = gradient_sums,
      .affine_activate = affine_activate,
      .max_pool = max_pool,
      .max_pool_backward = max_pool_backward,
      .mean_pool = mean_pool,
      .mean_pool_backward = mean_pool_backward,
      .affine_histogram = affine_histogram,
  };
}

constexpr KernelTable make_table() {
  return {
      .moments = moments_of_run,
      .histogram = histogram_of_run,
      .adamw = adamw_flat,
      .sgd = sgd_flat,
      .scale_bytes = scale_bytes,
      .interleave_bytes = interleave_bytes,
      .run_multiply_adds = run_multiply_adds,
      .multiply_adds_per_round = kPeakChains * kLanes,
      .layers = make_f32_layers(),
  };
}

}  // namespace
}  // namespace fatwood::kernels
