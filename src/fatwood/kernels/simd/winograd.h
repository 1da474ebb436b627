// 3×3 correlations of stride 1 by Winograd's F(4×4, 3×3), see kernels/winograd.h: one tile of every
// image of a group at a time. The points of a tile are laid out by row of the transform, so that
// the six points of a row meet in registers and their sums are transformed before they are stored.
#pragma once

#include <fatwood/kernels/simd/epilogue.h>
#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

// 6·B sums, an input and a weight fill the registers.
constexpr int kWinogradBlock = kBlock / 2;
constexpr int kRows = kWinogradInputs;
constexpr int kSide = kWinogradOutputs;
constexpr float kRootOfTwo = 1.41421356237F;

/// Bᵀ d
FATWOOD_INLINE void transform_input(const Vec (&d)[kRows], Vec (&points)[kRows]) {
  const Vec even = multiply_add(d[2], splat(-2.0F), d[4]);
  const Vec odd = multiply_add(d[1], splat(-2.0F), d[3]);
  const Vec wide_even = multiply_add(d[2], splat(-0.5F), d[4]);
  const Vec wide_odd = multiply_add(d[1], splat(-0.5F), d[3]);
  points[0] = multiply_add(d[2], splat(-2.5F), d[0] + d[4]);
  points[1] = multiply_add(odd, splat(kRootOfTwo / 2), even);
  points[2] = multiply_add(odd, splat(-kRootOfTwo / 2), even);
  points[3] = multiply_add(wide_odd, splat(kRootOfTwo), wide_even);
  points[4] = multiply_add(wide_odd, splat(-kRootOfTwo), wide_even);
  points[5] = multiply_add(d[3], splat(-2.5F), d[1] + d[5]);
}

/// Aᵀ m
FATWOOD_INLINE void transform_output(const Vec (&m)[kRows], Vec (&out)[kSide]) {
  const Vec sum = m[1] + m[2];
  const Vec difference = m[1] - m[2];
  const Vec wide_sum = m[3] + m[4];
  const Vec wide_difference = m[3] - m[4];
  out[0] = m[0] + sum + wide_sum;
  out[1] = multiply_add(difference, splat(kRootOfTwo / 2), wide_difference * splat(kRootOfTwo));
  out[2] = multiply_add(sum, splat(0.5F), wide_sum + wide_sum);
  out[3] = multiply_add(difference, splat(kRootOfTwo / 4),
                        multiply_add(wide_difference, splat(2 * kRootOfTwo), m[5]));
}

/// A y
FATWOOD_INLINE void transform_gradient(const Vec (&y)[kSide], Vec (&points)[kRows]) {
  const Vec even = multiply_add(y[2], splat(0.5F), y[0]);
  const Vec odd = multiply_add(y[3], splat(0.5F), y[1]);
  const Vec wide_even = multiply_add(y[2], splat(2.0F), y[0]);
  const Vec wide_odd = multiply_add(y[3], splat(2.0F), y[1]);
  points[0] = y[0];
  points[1] = multiply_add(odd, splat(kRootOfTwo / 2), even);
  points[2] = multiply_add(odd, splat(-kRootOfTwo / 2), even);
  points[3] = multiply_add(wide_odd, splat(kRootOfTwo), wide_even);
  points[4] = multiply_add(wide_odd, splat(-kRootOfTwo), wide_even);
  points[5] = y[3];
}

/// Where the points of a tile go: floats between rows, columns and channels.
struct PointLayout {
  std::int64_t row, column, channel;
};

/// Bᵀ d B of the tile whose first output is (y, x), for all channels. Inner: no column of d is
/// padding.
template <bool kInner>
FATWOOD_INLINE void points_of_tile(const float* in, int channels, int height, int width, int y,
                                   int x, float* points, const PointLayout& layout) {
  const std::int64_t row = static_cast<std::int64_t>(width) * kLanes;
  for (int c = 0; c < channels; ++c, in += row * height, points += layout.channel) {
    Vec across[kRows][kRows];
    for (int r = 0; r < kRows; ++r) {
      Vec d[kRows] = {};
      if (y + r >= 1 && y + r <= height) {
        const float* from = in + (y + r - 1) * row + static_cast<std::int64_t>(x - 1) * kLanes;
        unroll<kRows>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
          if (kInner || (x + k >= 1 && x + k <= width)) d[k] = load(from + k * kLanes);
        });
      }
      transform_input(d, across[r]);
    }
    unroll<kRows>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
      Vec d[kRows];
      unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA { d[r] = across[r][k]; });
      Vec down[kRows];
      transform_input(d, down);
      unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA {
        store(points + r * layout.row + k * layout.column, down[r]);
      });
    });
  }
}

void find_points(const float* in, int channels, int height, int width, int y, int x, float* points,
                 const PointLayout& layout) {
  if (x >= 1 && x + kRows - 1 <= width) {
    points_of_tile<true>(in, channels, height, width, y, x, points, layout);
  } else {
    points_of_tile<false>(in, channels, height, width, y, x, points, layout);
  }
}

/// One row of points: points (channels, 6, L), weights (blocks, channels, 6, B) → halves
/// (blocks·B, 6, 4, L) at that row.
void multiply_row(const float* points, const float* weights, int channels, int blocks,
                  float* halves) {
  constexpr int kPerOutput = kRows * kSide * kLanes;
  for (int block = 0; block < blocks; ++block, halves += kWinogradBlock * kPerOutput) {
    Vec sum[kRows][kWinogradBlock] = {};
    const float* point = points;
    for (int c = 0; c < channels; ++c) {
      unroll<kRows>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
        const Vec x = load(point + k * kLanes);
        unroll<kWinogradBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
          sum[k][o] = multiply_add(x, splat(weights[k * kWinogradBlock + o]), sum[k][o]);
        });
      });
      point += kRows * kLanes;
      weights += kRows * kWinogradBlock;
    }
    unroll<kWinogradBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
      Vec m[kRows];
      unroll<kRows>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA { m[k] = sum[k][o]; });
      Vec out[kSide];
      transform_output(m, out);
      unroll<kSide>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        store(halves + o * kPerOutput + i * kLanes, out[i]);
      });
    });
  }
}

/// The second half of the output's transform, and the epilogue, for the tile's first kColumns
/// columns.
template <int kColumns>
void finish_tile(const Correlate& job, const float* halves, int y, int x) {
  const int rows = job.out_height - y < kSide ? job.out_height - y : kSide;
  for (int o = 0; o < job.out_channels; ++o, halves += kRows * kSide * kLanes) {
    Vec out[kSide][kColumns];
    unroll<kColumns>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      Vec m[kRows];
      unroll<kRows>([&]<int r>(Index<r>)
                        FATWOOD_INLINE_LAMBDA { m[r] = load(halves + (r * kSide + i) * kLanes); });
      Vec column[kSide];
      transform_output(m, column);
      unroll<kSide>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA { out[r][i] = column[r]; });
    });
    const int block = o / kBlock;
    unroll<kSide>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA {
      if (r >= rows) return;
      if (job.bias) {
        const float* bias = job.bias +
                            (static_cast<std::int64_t>(block) * job.y.border_classes() +
                             job.y.border_class(y + r)) *
                                job.x.border_classes() * kBlock +
                            o % kBlock;
        unroll<kColumns>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
          out[r][i] += splat(bias[job.x.border_class(x + i) * kBlock]);
        });
      }
      finish_channel(pixel_run(job, y + r, x, r == 0 && y == 0 && x == 0), o, out[r]);
    });
  }
}

void correlate_winograd(const Correlate& job) {
  const int channels = job.in_channels;
  const int blocks = (job.out_channels + kWinogradBlock - 1) / kWinogradBlock;
  const std::int64_t points_of_row = static_cast<std::int64_t>(channels) * kRows * kLanes;
  const std::int64_t weights_of_row =
      static_cast<std::int64_t>(blocks) * channels * kRows * kWinogradBlock;
  float* points = job.scratch;
  float* halves = points + kRows * points_of_row;
  const PointLayout layout{points_of_row, kLanes, kRows * kLanes};
  for (int y = 0; y < job.out_height; y += kSide) {
    for (int x = 0; x < job.out_width; x += kSide) {
      find_points(job.in, channels, job.y.extent, job.x.extent, y, x, points, layout);
      for (int r = 0; r < kRows; ++r) {
        multiply_row(points + r * points_of_row, job.weights + r * weights_of_row, channels, blocks,
                     halves + r * kSide * kLanes);
      }
      switch (job.out_width - x) {
        case 1:
          finish_tile<1>(job, halves, y, x);
          break;
        case 2:
          finish_tile<2>(job, halves, y, x);
          break;
        case 3:
          finish_tile<3>(job, halves, y, x);
          break;
        default:
          finish_tile<4>(job, halves, y, x);
      }
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
