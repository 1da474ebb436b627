#include <algorithm>

#include <fatwood/kernels/winograd.h>

namespace fatwood::kernels {
namespace {

// Of a weight gradient: enough to reuse its sums, few enough for the cache.
constexpr int kTilesAtOnce = 4;

constexpr float kRoot = 1.41421356237F;
constexpr float kG[kWinogradInputs][3] = {
    {1, 0, 0},
    {-2.0F / 3, -kRoot / 3, -1.0F / 3},
    {-2.0F / 3, kRoot / 3, -1.0F / 3},
    {1.0F / 6, kRoot / 6, 1.0F / 3},
    {1.0F / 6, -kRoot / 6, 1.0F / 3},
    {0, 0, 1},
};

std::int64_t valid_taps(const Axis& axis) {
  std::int64_t taps = 0;
  for (int o = 0; o < axis.count; ++o) taps += axis.taps - axis.low(o) - axis.high(o);
  return taps;
}

int tiles_along(int extent) {
  return (extent + kWinogradOutputs - 1) / kWinogradOutputs;
}

/// Where a filter's taps lie in the weights.
struct Source {
  const float* weight;
  std::int64_t output_stride, input_stride;
  bool reversed;
};

/// Floats between packed points, and between what they belong to.
struct Strides {
  std::int64_t row, column, block, channel;
};

Strides packed_strides(int outputs, int inputs, int lanes) {
  const std::int64_t channel = lanes == 16 ? kWinogradInputs * kWinogradBlock : kWinogradBlock;
  const std::int64_t plane = inputs * channel;
  if (lanes == 16) {
    const std::int64_t blocks = round_up(outputs, kWinogradBlock) / kWinogradBlock;
    return {blocks * plane, kWinogradBlock, plane, channel};
  }
  return {kWinogradInputs * plane, plane, kWinogradPoints * plane, channel};
}

void pack_block(const Source& from, const Strides& strides, int outputs, int inputs, int b,
                const float* scale, float* packed) {
  const int channels = std::min(kWinogradBlock, outputs - b * kWinogradBlock);
  for (int c = 0; c < inputs; ++c) {
    const float s = scale ? scale[c] : 1.0F;
    float w[9][kWinogradBlock] = {};
    for (int j = 0; j < channels; ++j) {
      const float* taps =
          from.weight + (b * kWinogradBlock + j) * from.output_stride + c * from.input_stride;
      for (int k = 0; k < 9; ++k) w[k][j] = taps[from.reversed ? 8 - k : k] * s;
    }
    float* to = packed + b * strides.block + c * strides.channel;
    for (int row = 0; row < kWinogradInputs; ++row, to += strides.row) {
      float half[3][kWinogradBlock];
      for (int k = 0; k < 3; ++k) {
        for (int j = 0; j < kWinogradBlock; ++j) {
          half[k][j] = kG[row][0] * w[k][j] + kG[row][1] * w[3 + k][j] + kG[row][2] * w[6 + k][j];
        }
      }
      for (int column = 0; column < kWinogradInputs; ++column) {
        for (int j = 0; j < kWinogradBlock; ++j) {
          to[column * strides.column + j] =
              kG[column][0] * half[0][j] + kG[column][1] * half[1][j] + kG[column][2] * half[2][j];
        }
      }
    }
  }
}

void pack(const Source& from, int outputs, int inputs, int lanes, const float* scale, float* packed,
          const ParallelFor& parallel) {
  const Strides strides = packed_strides(outputs, inputs, lanes);
  parallel.for_each_part(round_up(outputs, kWinogradBlock) / kWinogradBlock, 1,
                         [&](int, std::int64_t begin, std::int64_t end) {
                           for (int b = static_cast<int>(begin); b < end; ++b) {
                             pack_block(from, strides, outputs, inputs, b, scale, packed);
                           }
                         });
}

}  // namespace

bool winograd_pays(const ConvShape& conv) {
  if (conv.ks != 3 || conv.stride != 1 || conv.c_in < 8 || conv.c_out < 8) return false;
  // Tiles that stand over the border, and taps on padding, cost the direct sum nothing. Below 1.6 ×
  // fewer products the transforms take what is saved.
  const std::int64_t products = static_cast<std::int64_t>(tiles_along(conv.height)) *
                                tiles_along(conv.width) * kWinogradPoints;
  return valid_taps(conv.y()) * valid_taps(conv.x()) * 10 >= products * 16;
}

bool winograd_gradient_pays(const ConvShape& conv, int lanes) {
  constexpr std::int64_t kMostSums = 1 << 20;  // floats, a thread
  return winograd_pays(conv) &&
         static_cast<std::int64_t>(kWinogradPoints) * conv.c_in * round_up(conv.c_out, lanes) <=
             kMostSums;
}

WinogradGradient winograd_gradient_job(const ConvShape& conv, int lanes) {
  WinogradGradient job;
  job.height = conv.height;
  job.width = conv.width;
  job.in_channels = conv.c_in;
  job.out_channels = conv.c_out;
  job.capacity = kTilesAtOnce;
  // A vector more, so that the same tile of all points does not fall into one set of the cache.
  const std::int64_t images = static_cast<std::int64_t>(job.capacity) * lanes;
  job.input_stride = images * conv.c_in + lanes;
  job.gradient_stride = images * round_up(conv.c_out, lanes) + lanes;
  return job;
}

std::int64_t winograd_weights_size(int inputs, int outputs) {
  return static_cast<std::int64_t>(kWinogradPoints) * inputs * round_up(outputs, kWinogradBlock);
}

std::int64_t winograd_scratch_size(int inputs, int outputs, int lanes) {
  constexpr int kHalves = kWinogradInputs * kWinogradOutputs;
  const std::int64_t tiles = lanes == 16 ? 1 : kWinogradTiles;
  const std::int64_t sums =
      lanes == 16 ? round_up(outputs, kWinogradBlock) : kWinogradTiles * kWinogradBlock;
  return (kWinogradPoints * tiles * inputs + kHalves * sums) * lanes;
}

void pack_winograd(const ConvShape& conv, int lanes, const float* weight, const float* scale,
                   float* packed, const ParallelFor& parallel) {
  pack({weight, static_cast<std::int64_t>(conv.c_in) * 9, 9, false}, conv.c_out, conv.c_in, lanes,
       scale, packed, parallel);
}

void pack_winograd_gradient(const ConvShape& conv, int lanes, const float* weight, float* packed,
                            const ParallelFor& parallel) {
  pack({weight, 9, static_cast<std::int64_t>(conv.c_in) * 9, true}, conv.c_in, conv.c_out, lanes,
       nullptr, packed, parallel);
}

void winograd_taps(const float* const* sums, int parts, int inputs, int outputs, int c,
                   float* taps) {
  constexpr int kChunk = 4;  // outputs is a multiple of every instruction set's lanes
  for (int o = 0; o < outputs; o += kChunk) {
    float half[3][kWinogradInputs][kChunk] = {};
    for (int row = 0; row < kWinogradInputs; ++row) {
      for (int column = 0; column < kWinogradInputs; ++column) {
        const std::int64_t at =
            (static_cast<std::int64_t>(row * kWinogradInputs + column) * inputs + c) * outputs + o;
        float sum[kChunk];
        std::copy_n(sums[0] + at, kChunk, sum);
        for (int part = 1; part < parts; ++part) {
          for (int j = 0; j < kChunk; ++j) sum[j] += sums[part][at + j];
        }
        for (int k = 0; k < 3; ++k) {
          for (int j = 0; j < kChunk; ++j) half[k][column][j] += kG[row][k] * sum[j];
        }
      }
    }
    for (std::int64_t ky = 0; ky < 3; ++ky) {
      for (int kx = 0; kx < 3; ++kx) {
        float* to = taps + (ky * 3 + kx) * outputs + o;
        for (int j = 0; j < kChunk; ++j) {
          float sum = 0;
          for (int column = 0; column < kWinogradInputs; ++column) {
            sum += kG[column][kx] * half[ky][column][j];
          }
          to[j] = sum;
        }
      }
    }
  }
}

}  // namespace fatwood::kernels
