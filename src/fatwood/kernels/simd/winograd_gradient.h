// Weight gradients by Winograd's way: points of the input (images in the lanes) times points of the
// output's gradient (output channels in the lanes). Tiles, of one group of images after another,
// are collected until there are enough to reuse the sums while they are in registers.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/simd/weight_gradient.h>
#include <fatwood/kernels/simd/winograd.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// A dY Aᵀ of one tile: turned gradient (pixels, L, O) → (36, L, O).
void gradient_points(const WinogradGradient& job, int y, int x, float* points) {
  const int padded = (job.out_channels + kLanes - 1) / kLanes * kLanes;
  const std::int64_t pixel = static_cast<std::int64_t>(kLanes) * padded;
  const int rows = job.height - y < kSide ? job.height - y : kSide;
  const int columns = job.width - x < kSide ? job.width - x : kSide;
  const float* from = job.grad + (static_cast<std::int64_t>(y) * job.width + x) * pixel;
  for (std::int64_t i = 0; i < pixel; i += kLanes) {
    Vec down[kRows][kSide];
    unroll<kSide>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
      Vec column[kSide] = {};
      if (c < columns) {
        unroll<kSide>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA {
          if (r < rows) column[r] = load(from + (r * job.width + c) * pixel + i);
        });
      }
      Vec turned[kRows];
      transform_gradient(column, turned);
      unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA { down[r][c] = turned[r]; });
    });
    unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA {
      Vec across[kRows];
      transform_gradient(down[r], across);
      unroll<kRows>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
        store(points + (r * kRows + c) * job.gradient_stride + i, across[c]);
      });
    });
  }
}

/// sums[point][c][o] += Σ_tiles Σ_images input[point][c]·gradient[point][o], for channels c in
/// [first, last), kInputs of them and kVectors vectors of output channels at a time.
template <int kInputs, int kVectors>
void multiply_points(const WinogradGradient& job, int first, int last) {
  const int padded = (job.out_channels + kLanes - 1) / kLanes * kLanes;
  const std::int64_t per_channel = static_cast<std::int64_t>(job.capacity) * kLanes;
  const int count = job.tiles * kLanes;
  for (int point = 0; point < kWinogradPoints; ++point) {
    const float* inputs = job.input_points + point * job.input_stride;
    const float* gradients = job.gradient_points + point * job.gradient_stride;
    float* sums = job.sums + static_cast<std::int64_t>(point) * job.in_channels * padded;
    for (int c = first; c + kInputs <= last; c += kInputs) {
      for (int o = 0; o < padded; o += kVectors * kLanes) {
        float* at = sums + static_cast<std::int64_t>(c) * padded + o;
        const float* x = inputs + c * per_channel;
        const float* d = gradients + o;
        Vec sum[kInputs][kVectors] = {};
        for (int n = 0; n < count; ++n, d += padded) {
          Vec g[kVectors];
          unroll<kVectors>([&]<int v>(Index<v>)
                               FATWOOD_INLINE_LAMBDA { g[v] = load(d + v * kLanes); });
          unroll<kInputs>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
            const Vec w = splat(x[i * per_channel + n]);
            unroll<kVectors>([&]<int v>(Index<v>) FATWOOD_INLINE_LAMBDA {
              sum[i][v] = multiply_add(g[v], w, sum[i][v]);
            });
          });
        }
        unroll<kInputs>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
          unroll<kVectors>([&]<int v>(Index<v>) FATWOOD_INLINE_LAMBDA {
            float* total = at + i * padded + v * kLanes;
            store(total, load(total) + sum[i][v]);
          });
        });
      }
    }
  }
}

template <int kInputs, int kVectors>
void multiply_all(const WinogradGradient& job) {
  const int whole = job.in_channels / kInputs * kInputs;
  multiply_points<kInputs, kVectors>(job, 0, whole);
  if (whole < job.in_channels) multiply_points<1, kVectors>(job, whole, job.in_channels);
}

void winograd_gradient_flush(WinogradGradient& job) {
  if (job.tiles == 0) return;
  if (job.vectors == 1) {
    multiply_all<8, 1>(job);
  } else if (kLanes < 16) {
    const Split inputs = split_into_sixes(job.in_channels);
    multiply_points<6, 2>(job, 0, inputs.sixes_end);
    multiply_points<4, 2>(job, inputs.sixes_end, inputs.fours_end);
    multiply_points<1, 2>(job, inputs.fours_end, job.in_channels);
  } else if (job.vectors == 2) {
    multiply_all<8, 2>(job);
  } else {
    multiply_all<4, 4>(job);
  }
  job.tiles = 0;
}

void winograd_gradient_add(WinogradGradient& job) {
  const int padded = (job.out_channels + kLanes - 1) / kLanes * kLanes;
  const PointLayout layout{kRows * job.input_stride, job.input_stride,
                           static_cast<std::int64_t>(job.capacity) * kLanes};
  for (int y = 0; y < job.height; y += kSide) {
    for (int x = 0; x < job.width; x += kSide) {
      find_points(job.in, job.in_channels, job.height, job.width, y, x,
                  job.input_points + job.tiles * kLanes, layout);
      gradient_points(job, y, x,
                      job.gradient_points + static_cast<std::int64_t>(job.tiles) * kLanes * padded);
      if (++job.tiles == job.capacity) winograd_gradient_flush(job);
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
