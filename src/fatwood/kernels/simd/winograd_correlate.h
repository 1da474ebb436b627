// 3×3 correlations of stride 1 by Winograd's way: points of the input times points of the weights,
// their sums transformed by row at once and by column before the epilogue.
//
// With 32 registers the six points of a row meet in them, for one tile and 4 output channels. In 16
// there is room for 2 channels, and three loads for two products: there one point is taken at a
// time instead, of 3 tiles and 4 output channels, or of a single tile and 8.
#pragma once

#include <fatwood/kernels/simd/correlate.h>
#include <fatwood/kernels/simd/epilogue.h>
#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/simd/winograd.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr int kHalves = kRows * kSide * kLanes;  // of one tile and output channel

/// Asks for one row of the tile's output pixels, `count` channels of it from `first` on.
FATWOOD_INLINE void prefetch_outputs(const Correlate& job, int y, int x, int first, int count) {
  if (y >= job.out_height) return;
  constexpr int kVectorsOfLine = 16 / kLanes;
  const std::int64_t plane = static_cast<std::int64_t>(job.out_height) * job.out_width * kLanes;
  const int columns = job.out_width - x < kSide ? job.out_width - x : kSide;
  const int channels = job.out_channels - first < count ? job.out_channels - first : count;
  float* out =
      job.out + first * plane + (static_cast<std::int64_t>(y) * job.out_width + x) * kLanes;
  for (int o = 0; o < channels; ++o, out += plane) {
    for (int k = 0; k < columns; k += kVectorsOfLine) prefetch_to_write(out + k * kLanes);
    // Tiles need not begin where a line does.
    if (kVectorsOfLine > 1) prefetch_to_write(out + (columns - 1) * kLanes);
  }
}

/// The second half of the output's transform, and the epilogue, for the first kColumns columns of
/// the tile at (y, x) and `count` output channels from `first` on, those that exist.
template <int kColumns>
void finish_columns(const Correlate& job, const float* halves, int y, int x, int first, int count) {
  const int rows = job.out_height - y < kSide ? job.out_height - y : kSide;
  const int end = first + count < job.out_channels ? first + count : job.out_channels;
  for (int o = first; o < end; ++o, halves += kHalves) {
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

void finish_tile(const Correlate& job, const float* halves, int y, int x, int first, int count) {
  switch (job.out_width - x) {
    case 1:
      return finish_columns<1>(job, halves, y, x, first, count);
    case 2:
      return finish_columns<2>(job, halves, y, x, first, count);
    case 3:
      return finish_columns<3>(job, halves, y, x, first, count);
    default:
      return finish_columns<4>(job, halves, y, x, first, count);
  }
}

// --- 32 registers ---

/// Row r of the points of the tile at (y, x): points (channels, 6, L), weights (blocks, channels,
/// 6, 4) → halves (blocks·4, 6, 4, L) at that row.
void multiply_row(const Correlate& job, int y, int x, int r, const float* points,
                  const float* weights, int channels, int blocks, float* halves) {
  for (int block = 0; block < blocks; ++block, halves += kWinogradBlock * kHalves) {
    if (r < kSide) prefetch_outputs(job, y + r, x, block * kWinogradBlock, kWinogradBlock);
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
        store(halves + o * kHalves + i * kLanes, out[i]);
      });
    });
  }
}

/// Tile by tile, all output channels of a row of points at once.
void correlate_by_row(const Correlate& job) {
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
        multiply_row(job, y, x, r, points + r * points_of_row, job.weights + r * weights_of_row,
                     channels, blocks, halves + r * kSide * kLanes);
      }
      finish_tile(job, halves, y, x, 0, job.out_channels);
    }
  }
}

// --- 16 registers ---

/// Row r of the points of kTiles tiles: points (6, channels, kTiles, L), weights of kOutputs output
/// channels, blocks of them (6, channels, 4) being `stride` apart → halves (kTiles, kOutputs, 6, 4,
/// L) at that row.
template <int kTiles, int kOutputs>
void multiply_tiles(const float* points, const float* weights, std::int64_t stride, int channels,
                    float* halves) {
  alignas(64) float products[kRows][kTiles * kOutputs][kLanes];
  for (int k = 0; k < kRows; ++k) {
    Vec sum[kTiles][kOutputs] = {};
    for (int c = 0; c < channels; ++c) {
      Vec x[kTiles];
      unroll<kTiles>([&]<int t>(Index<t>)
                         FATWOOD_INLINE_LAMBDA { x[t] = load(points + t * kLanes); });
      unroll<kOutputs>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
        const Vec w = splat(weights[o / kWinogradBlock * stride + o % kWinogradBlock]);
        unroll<kTiles>([&]<int t>(Index<t>)
                           FATWOOD_INLINE_LAMBDA { sum[t][o] = multiply_add(x[t], w, sum[t][o]); });
      });
      points += kTiles * kLanes;
      weights += kWinogradBlock;
    }
    unroll<kTiles>([&]<int t>(Index<t>) FATWOOD_INLINE_LAMBDA {
      unroll<kOutputs>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
        store(products[k][t * kOutputs + o], sum[t][o]);
      });
    });
  }
  for (int i = 0; i < kTiles * kOutputs; ++i, halves += kHalves) {
    Vec m[kRows];
    unroll<kRows>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA { m[k] = load(products[k][i]); });
    Vec out[kSide];
    transform_output(m, out);
    unroll<kSide>([&]<int k>(Index<k>)
                      FATWOOD_INLINE_LAMBDA { store(halves + k * kLanes, out[k]); });
  }
}

/// kTiles tiles from `tile` on, counted along the rows of tiles.
template <int kTiles>
void correlate_tiles(const Correlate& job, int tile) {
  // A single tile takes twice the output channels, so that enough sums are in flight.
  constexpr int kMost = kTiles == 1 ? 2 * kWinogradBlock : kWinogradBlock;
  static_assert(kTiles * kMost <= kWinogradTiles * kWinogradBlock, "see winograd_scratch_size");
  const int channels = job.in_channels;
  const int along = (job.out_width + kSide - 1) / kSide;
  const std::int64_t points_of_one = static_cast<std::int64_t>(channels) * kTiles * kLanes;
  const std::int64_t weights_of_one = static_cast<std::int64_t>(channels) * kWinogradBlock;
  float* points = job.scratch;
  float* halves = points + kWinogradPoints * points_of_one;
  int y[kTiles];
  int x[kTiles];
  for (int t = 0; t < kTiles; ++t) {
    y[t] = (tile + t) / along * kSide;
    x[t] = (tile + t) % along * kSide;
    find_points(job.in, channels, job.y.extent, job.x.extent, y[t], x[t], points + t * kLanes,
                {kRows * points_of_one, points_of_one, kTiles * kLanes});
  }
  for (int first = 0; first < job.out_channels;) {
    const bool most = job.out_channels - first > kWinogradBlock;
    const int count = most ? kMost : kWinogradBlock;
    const auto multiply =
        most ? multiply_tiles<kTiles, kMost> : multiply_tiles<kTiles, kWinogradBlock>;
    const std::int64_t stride = kWinogradPoints * weights_of_one;
    const float* weights = job.weights + first / kWinogradBlock * stride;
    for (int r = 0; r < kRows; ++r) {
      if (r < kSide) {
        for (int t = 0; t < kTiles; ++t) prefetch_outputs(job, y[t] + r, x[t], first, count);
      }
      multiply(points + r * kRows * points_of_one, weights + r * kRows * weights_of_one, stride,
               channels, halves + r * kSide * kLanes);
    }
    for (int t = 0; t < kTiles; ++t) {
      finish_tile(job, halves + t * count * kHalves, y[t], x[t], first, count);
    }
    first += count;
  }
}

void correlate_by_point(const Correlate& job) {
  const int tiles = ((job.out_height + kSide - 1) / kSide) * ((job.out_width + kSide - 1) / kSide);
  for (int tile = 0; tile < tiles;) {
    const int count = next_tile(tiles - tile);
    if (count == 1) {
      correlate_tiles<1>(job, tile);
    } else if (count == 2) {
      correlate_tiles<2>(job, tile);
    } else {
      correlate_tiles<kWinogradTiles>(job, tile);
    }
    tile += count;
  }
}

// Not `if constexpr`: clang would call the other one unused.
void correlate_winograd(const Correlate& job) {
  if (kLanes == 16) {
    correlate_by_row(job);
  } else {
    correlate_by_point(job);
  }
}

}  // namespace
}  // namespace fatwood::kernels
