// The transforms of Winograd's F(4×4, 3×3), see kernels/winograd.h, of one tile of every image of a
// group at a time.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr int kRows = kWinogradInputs;
constexpr int kSide = kWinogradOutputs;
constexpr float kRootOfTwo = 1.41421356237F;

// A transform's points come in two halves that share no arithmetic: what one half of the rows keeps
// fits into the registers, where both together did not.
constexpr int kHalf = kRows / 2;

/// Points kFirst, kFirst + 1 and kFirst + 2 of Bᵀ d, where kFirst is 0 or 3.
template <int kFirst>
FATWOOD_INLINE void transform_input(const Vec (&d)[kRows], Vec (&points)[kHalf]) {
  if constexpr (kFirst == 0) {
    const Vec even = multiply_add(d[2], splat(-2.0F), d[4]);
    const Vec odd = multiply_add(d[1], splat(-2.0F), d[3]);
    points[0] = multiply_add(d[2], splat(-2.5F), d[0] + d[4]);
    points[1] = multiply_add(odd, splat(kRootOfTwo / 2), even);
    points[2] = multiply_add(odd, splat(-kRootOfTwo / 2), even);
  } else {
    const Vec even = multiply_add(d[2], splat(-0.5F), d[4]);
    const Vec odd = multiply_add(d[1], splat(-0.5F), d[3]);
    points[0] = multiply_add(odd, splat(kRootOfTwo), even);
    points[1] = multiply_add(odd, splat(-kRootOfTwo), even);
    points[2] = multiply_add(d[3], splat(-2.5F), d[1] + d[5]);
  }
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

/// The part of a plane that a later tile is the first to read.
struct TileAhead {
  std::int64_t at;
  int rows, columns;
};

/// Of the tile behind the one at (y, x).
FATWOOD_INLINE TileAhead tile_ahead(int height, int width, int y, int x) {
  const bool same_row = x + kSide < width;
  const int row = same_row ? (y ? y + 1 : 0) : y + kSide + 1;
  const int column = same_row ? x + kSide + 1 : 0;
  const int end = same_row ? y + kSide + 1 : y + 2 * kSide + 1;
  TileAhead ahead{(static_cast<std::int64_t>(row) * width + column) * kLanes,
                  (end < height ? end : height) - row,
                  width - column < kSide ? width - column : kSide};
  if (!same_row && ahead.columns < width) ++ahead.columns;
  return ahead;
}

/// The rows and columns of a tile's input that are not padding: [begin, end).
struct TileInside {
  int row_begin, row_end, column_begin, column_end;
};

/// Columns kFirst, kFirst + 1 and kFirst + 2 of Bᵀ d B of one channel's tile, whose first input,
/// padding or not, is at `tile`.
template <bool kInner, int kFirst>
FATWOOD_INLINE void half_of_points(const float* tile, std::int64_t row, const TileInside& inside,
                                   float* points, const PointLayout& layout) {
  Vec across[kRows][kHalf];
  unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA {
    Vec d[kRows] = {};
    if (kInner || (r >= inside.row_begin && r < inside.row_end)) {
      unroll<kRows>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
        if (kInner || (k >= inside.column_begin && k < inside.column_end)) {
          d[k] = load(tile + r * row + k * kLanes);
        }
      });
    }
    transform_input<kFirst>(d, across[r]);
  });
  unroll<kHalf>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
    Vec d[kRows];
    unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA { d[r] = across[r][k]; });
    float* to = points + (kFirst + k) * layout.column;
    Vec down[kHalf];
    transform_input<0>(d, down);
    unroll<kHalf>([&]<int r>(Index<r>)
                      FATWOOD_INLINE_LAMBDA { store(to + r * layout.row, down[r]); });
    transform_input<kHalf>(d, down);
    unroll<kHalf>([&]<int r>(Index<r>)
                      FATWOOD_INLINE_LAMBDA { store(to + (kHalf + r) * layout.row, down[r]); });
  });
}

/// Bᵀ d B of the tile whose first output is (y, x), for all channels. Inner: nothing of d is
/// padding.
template <bool kInner>
FATWOOD_INLINE void points_of_tile(const float* in, int channels, int height, int width, int y,
                                   int x, float* points, const PointLayout& layout) {
  const std::int64_t row = static_cast<std::int64_t>(width) * kLanes;
  const TileAhead ahead = tile_ahead(height, width, y, x);
  const TileInside inside{y ? 0 : 1, height - y + 1, x ? 0 : 1, width - x + 1};
  for (int c = 0; c < channels; ++c, in += row * height, points += layout.channel) {
    const float* first = in + ahead.at;
    for (int r = 0; r < ahead.rows; ++r, first += row) {
      for (int k = 0; k < ahead.columns; ++k) prefetch(first + k * kLanes);
    }
    const float* tile = in + (y - 1) * row + static_cast<std::int64_t>(x - 1) * kLanes;
    half_of_points<kInner, 0>(tile, row, inside, points, layout);
    half_of_points<kInner, kHalf>(tile, row, inside, points, layout);
  }
}

void find_points(const float* in, int channels, int height, int width, int y, int x, float* points,
                 const PointLayout& layout) {
  if (x >= 1 && x + kRows - 1 <= width && y >= 1 && y + kRows - 1 <= height) {
    points_of_tile<true>(in, channels, height, width, y, x, points, layout);
  } else {
    points_of_tile<false>(in, channels, height, width, y, x, points, layout);
  }
}

}  // namespace
}  // namespace fatwood::kernels
