// Gathers the bf16 kernels of the target that the including file is compiled for.
#pragma once

#include <fatwood/kernels/simd/bf16_elementwise.h>
#include <fatwood/kernels/simd/bf16_transpose.h>
#include <fatwood/kernels/simd/bf16_weight_gradient.h>
#include <fatwood/kernels/simd/correlate.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr LayerKernels make_bf16_layers() {
  LayerKernels kernels{};
  kernels.channel_block = kBlock;
  kernels.correlate = correlate<Pairs>;
  kernels.fold_stats = fold_stats;
  kernels.turn_gradient = bf16_turn_gradient;
  kernels.weight_gradient_channel_lanes = bf16_weight_gradient_channel_lanes;
  kernels.weight_gradient_few_channels = bf16_weight_gradient_half_lanes;
  kernels.split_channels = bf16_split_channels;
  kernels.interleave = bf16_interleave;
  kernels.deinterleave = bf16_deinterleave;
  kernels.norm_backward = bf16_norm_backward;
  kernels.average_pool = bf16_average_pool;
  kernels.average_pool_backward = bf16_average_pool_backward;
  kernels.join = bf16_join;
  kernels.gradient_sums = bf16_gradient_sums;
  kernels.affine_histogram = bf16_affine_histogram;
  return kernels;
}

}  // namespace
}  // namespace fatwood::kernels
