// Weight gradients from bf16: sums over pairs of images, so that a product takes two of them. Both
// arrangements of weight_gradient.h need the input split by channels (split_channels): channel
// lanes then broadcast a pair of images; where the output's channels fill half of the lanes at
// most, each stands in two lanes, one for either channel of an input pair.
#pragma once

#include <fatwood/kernels/simd/bf16.h>
#include <fatwood/kernels/simd/weight_gradient.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// Where one tile's operands lie. Distances in 32-bit lanes.
struct PairTile {
  const float* in;
  const float* grad;
  float* sums;
  std::int64_t in_plane;    // of a channel pair
  std::int64_t sums_input;  // from one input (channel, or pair) to the next
  int padded;               // lanes of a pair of images of the gradient
  int sums_tap;
  int ky, first_tap;
};

/// kInputs inputs × kTaps taps × kVectors vectors of gradient. An input is a channel, or where
/// kTwo a pair of them.
template <bool kTwo, int kInputs, int kTaps, int kVectors>
FATWOOD_INLINE void add_pixel(Vec (&sum)[kInputs][kTaps][kVectors], const float* in,
                              std::int64_t in_plane, const float* grad, int padded, int low,
                              int high) {
  for (int m = 0; m < kPairLanes; ++m) {
    Vec g[kVectors];
    unroll<kVectors>([&]<int v>(Index<v>)
                         FATWOOD_INLINE_LAMBDA { g[v] = load(grad + v * kLanes); });
    unroll<kInputs>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
      unroll<kTaps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
        if (k < low || k >= kTaps - high) return;
        const float* at = kTwo ? in + c * in_plane : in + c / 2 * in_plane + c % 2;
        const Vec x =
            kTwo ? splat_two_pairs(at + k * kLanes + 2 * m) : splat_pair(at + k * kLanes + 2 * m);
        unroll<kVectors>([&]<int v>(Index<v>)
                             FATWOOD_INLINE_LAMBDA { sum[c][k][v] = dot(g[v], x, sum[c][k][v]); });
      });
    });
    grad += padded;
  }
}

template <bool kTwo, int kInputs, int kTaps, int kVectors>
void add_tile(const WeightGradient& job, const PairTile& tile) {
  // Output positions with all of this tile's taps inside.
  Axis x = job.x;
  x.taps = kTaps;
  x.origin += tile.first_tap;
  int inner_begin = valid_outputs(x, 0).begin;
  int inner_end = valid_outputs(x, kTaps - 1).end;
  if (inner_begin > inner_end) inner_begin = inner_end = x.count;
  const int grad_pixel = kPairLanes * tile.padded;

  Vec sum[kInputs][kTaps][kVectors] = {};
  const Span rows = valid_outputs(job.y, tile.ky);
  const float* in = tile.in;
  const float* grad = tile.grad;
  for (int group = 0; group < job.groups; ++group, in += job.in_group, grad += job.grad_group) {
    for (int oy = rows.begin; oy < rows.end; ++oy) {
      const std::int64_t iy = job.y.origin + job.y.step * oy + tile.ky;
      const float* a = in + (iy * x.extent + x.origin) * kLanes;
      const float* d = grad + static_cast<std::int64_t>(oy) * x.count * grad_pixel;
      const auto border = [&](int ox) FATWOOD_INLINE_LAMBDA {
        const int low = x.low(ox);
        const int high = x.high(ox);
        if (low + high >= kTaps) return;
        add_pixel<kTwo>(sum, a + ox * x.step * kLanes, tile.in_plane, d + ox * grad_pixel,
                        tile.padded, low, high);
      };
      if constexpr (kTaps > 1) {
        for (int ox = 0; ox < inner_begin; ++ox) border(ox);
      }
      for (int ox = inner_begin; ox < inner_end; ++ox) {
        add_pixel<kTwo>(sum, a + ox * x.step * kLanes, tile.in_plane, d + ox * grad_pixel,
                        tile.padded, 0, 0);
      }
      if constexpr (kTaps > 1) {
        for (int ox = inner_end; ox < x.count; ++ox) border(ox);
      }
    }
  }
  unroll<kInputs>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
    unroll<kTaps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
      unroll<kVectors>([&]<int v>(Index<v>) FATWOOD_INLINE_LAMBDA {
        float* total = tile.sums + c * tile.sums_input + k * tile.sums_tap + v * kLanes;
        store(total, load(total) + sum[c][k][v]);
      });
    });
  });
}

/// Inputs [first, last), all taps, all vectors.
template <bool kTwo, int kInputs, int kTaps, int kVectors>
void add_inputs(const WeightGradient& job, int first, int last) {
  const int padded = (job.out_channels + kLanes - 1) / kLanes * kLanes;
  const int inputs = kTwo ? (job.in_channels + 1) / 2 : (job.in_channels + 1) / 2 * 2;
  constexpr int kWidth = kVectors * kLanes;
  PairTile tile{};
  tile.in_plane = static_cast<std::int64_t>(job.y.extent) * job.x.extent * kLanes;
  tile.padded = padded;
  tile.sums_tap = kWidth;
  tile.sums_input = static_cast<std::int64_t>(job.y.taps) * job.x.taps * kWidth;
  for (int vectors = 0; vectors < padded / kWidth; ++vectors) {
    tile.grad = job.grad + vectors * kWidth;
    for (int c = first; c + kInputs <= last; c += kInputs) {
      tile.in = job.in + (kTwo ? c : c / 2) * tile.in_plane;
      for (tile.ky = 0; tile.ky < job.y.taps; ++tile.ky) {
        for (tile.first_tap = 0; tile.first_tap < job.x.taps; tile.first_tap += kTaps) {
          tile.sums = job.sums +
                      (static_cast<std::int64_t>(vectors) * inputs + c) * tile.sums_input +
                      (tile.ky * job.x.taps + tile.first_tap) * kWidth;
          add_tile<kTwo, kInputs, kTaps, kVectors>(job, tile);
        }
      }
    }
  }
}

/// As many inputs at a time as there are registers for sums, then the rest two by two.
template <int kInputs, int kVectors>
void bf16_channel_lanes(const WeightGradient& job) {
  const int inputs = (job.in_channels + 1) / 2 * 2;
  const int whole = inputs / kInputs * kInputs;
  add_inputs<false, kInputs, 1, kVectors>(job, 0, whole);
  if (whole == inputs) return;
  switch (job.x.taps) {
    case 3:
      return add_inputs<false, 2, 3, kVectors>(job, whole, inputs);
    case 5:
      return add_inputs < false, 2, kVectors == 4 ? 1 : 5, kVectors > (job, whole, inputs);
    default:
      return add_inputs<false, 2, 1, kVectors>(job, whole, inputs);
  }
}

void bf16_weight_gradient_channel_lanes(const WeightGradient& job) {
  constexpr int kSums = kLanes == 16 ? 16 : 8;
  switch (job.vectors) {
    case 4:
      return bf16_channel_lanes<kSums / 4, 4>(job);
    case 2:
      return bf16_channel_lanes<kSums / 2, 2>(job);
    default:
      return bf16_channel_lanes<8, 1>(job);
  }
}

/// For L/2 output channels at most.
void bf16_weight_gradient_half_lanes(const WeightGradient& job) {
  constexpr int kAtOnce = kLanes == 16 ? 4 : 2;
  const int pairs = (job.in_channels + 1) / 2;
  const int whole = pairs / kAtOnce * kAtOnce;
  switch (job.x.taps) {
    case 3:
      add_inputs<true, kAtOnce, 3, 1>(job, 0, whole);
      return add_inputs<true, 1, 3, 1>(job, whole, pairs);
    case 5:
      add_inputs<true, kAtOnce, 5, 1>(job, 0, whole);
      return add_inputs<true, 1, 5, 1>(job, whole, pairs);
    default:
      add_inputs<true, kAtOnce, 1, 1>(job, 0, whole);
      return add_inputs<true, 1, 1, 1>(job, whole, pairs);
  }
}

}  // namespace
}  // namespace fatwood::kernels
