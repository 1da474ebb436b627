// The convolution tile: B output channels × up to 3 pixels × L images held in registers while it
// runs over input channels and taps, weights broadcast. Taps on padding are left out at compile
// time: a variant exists for every number of taps that the tile's first pixel misses on the left
// (kLow) and its last on the right (kHigh). Extents are run-time values. A Form says what a lane
// holds: one channel in f32, or a pair of them in bf16.
#pragma once

#include <fatwood/kernels/simd/ahead.h>
#include <fatwood/kernels/simd/bf16.h>
#include <fatwood/kernels/simd/epilogue.h>
#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

// B·3 accumulators, 3 inputs and a weight fill 32 registers of AVX-512, or 16 of the others.
constexpr int kBlock = kLanes == 16 ? 8 : 4;
constexpr int kMostPixels = 3;
constexpr bool kTight = kLanes < 16;  // nothing else has room

struct Singles {
  static constexpr int kChannels = 1;  // in a lane
  static constexpr bool kTiles = true;
  FATWOOD_INLINE Vec weight(const float* p) { return splat(*p); }
  FATWOOD_INLINE Vec add_product(Vec x, Vec w, Vec sum) { return multiply_add(x, w, sum); }
};

struct Pairs {
  static constexpr int kChannels = 2;
  static constexpr bool kTiles =
      kNativeDot;  // emulated, it is for checking: a pixel at a time will do
  FATWOOD_INLINE Vec weight(const float* p) { return splat_pair(p); }
  FATWOOD_INLINE Vec add_product(Vec x, Vec w, Vec sum) { return dot(x, w, sum); }
};

/// Planes of a tensor of this many channels.
template <class Form>
constexpr int planes_of(int channels) {
  return (channels + Form::kChannels - 1) / Form::kChannels;
}

struct Tile {
  const Correlate* job;
  const float* in;       // first tap of the first pixel, valid or not, in the first valid row
  const float* weights;  // first valid row of taps
  const float* bias;     // (x.border_classes(), B) of this row's border class, or null
  std::int64_t in_plane, in_row, weights_per_channel;
  int rows;      // valid rows of taps
  int channel;   // first of the block
  int channels;  // of the block that exist
  int y, x;      // first pixel, in output coordinates
  int low, high;
  bool first;  // of this plane: starts the statistics
  bool leads;  // first to read its inputs
};

template <int kTaps, int kStep, int kPixels, int kLow, int kHigh>
struct TileShape {
  static constexpr int taps = kTaps;
  static constexpr int step = kStep;
  static constexpr int pixels = kPixels;
  static constexpr int low(int pixel) { return kLow > kStep * pixel ? kLow - kStep * pixel : 0; }
  static constexpr int high(int pixel) {
    const int from_end = kPixels - 1 - pixel;
    return kHigh > kStep * from_end ? kHigh - kStep * from_end : 0;
  }
  static constexpr bool valid(int pixel, int tap) {
    return tap >= low(pixel) && tap < kTaps - high(pixel);
  }
  static constexpr int border_class(int pixel) {
    return low(pixel) * (kTaps / 2 + 1) + high(pixel);
  }
};

template <class Form, int kPixels>
FATWOOD_INLINE void finish(const Tile& tile, Vec (&sum)[kPixels][kBlock]) {
  const PixelRun run = pixel_run(*tile.job, tile.y, tile.x, tile.first);
  unroll<kBlock / Form::kChannels>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
    if (o * Form::kChannels >= tile.channels) return;
    Vec first[kPixels];
    unroll<kPixels>([&]<int i>(Index<i>)
                        FATWOOD_INLINE_LAMBDA { first[i] = sum[i][o * Form::kChannels]; });
    if constexpr (Form::kChannels == 1) {
      finish_channel(run, tile.channel + o, first);
    } else {
      Vec second[kPixels];
      unroll<kPixels>([&]<int i>(Index<i>)
                          FATWOOD_INLINE_LAMBDA { second[i] = sum[i][2 * o + 1]; });
      finish_pair(run, tile.channel / 2 + o, first, second);
    }
  });
}

template <class Form, int kPixels>
FATWOOD_INLINE void prefetch_outputs(const Tile& tile) {
  const PixelRun run = pixel_run(*tile.job, tile.y, tile.x, tile.first);
  const int planes = planes_of<Form>(tile.channels);
  float* out = tile.job->out + tile.channel / Form::kChannels * run.plane + run.at;
  for (int o = 0; o < planes; ++o, out += run.plane) {
    unroll<kPixels>([&]<int i>(Index<i>)
                        FATWOOD_INLINE_LAMBDA { prefetch_to_write(out + i * run.step); });
  }
}

/// The products of one row of taps in one input plane.
template <class Form, class Shape>
FATWOOD_INLINE void add_row(const float* row, const float* weights,
                            Vec (&sum)[Shape::pixels][kBlock]) {
  unroll<Shape::taps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
    Vec x[Shape::pixels];
    if constexpr (kTight && Shape::taps <= 3) row = opaque(row);
    unroll<Shape::pixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      if constexpr (Shape::valid(i, k)) x[i] = load(row + (Shape::step * i + k) * kLanes);
    });
    unroll<kBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
      const Vec w = Form::weight(weights + k * kBlock + o);
      unroll<Shape::pixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        if constexpr (Shape::valid(i, k)) sum[i][o] = Form::add_product(x[i], w, sum[i][o]);
      });
    });
  });
}

/// The products of all input channels, of kRows rows of taps, or of tile.rows if that is 0.
template <class Form, class Shape, int kRows>
FATWOOD_INLINE void add_channels(const Tile& tile, Vec (&sum)[Shape::pixels][kBlock]) {
  constexpr int kWeights = Shape::taps * kBlock;  // of a row
  const float* plane = tile.in;
  const float* weights = tile.weights;
  const std::int64_t in_row = tile.in_row;
  const int rows = tile.rows;
  const std::int64_t ahead = rows * in_row;
  const bool leads = tile.leads;
  for (int c = planes_of<Form>(tile.job->in_channels); c > 0; --c) {
    if (leads) {
      unroll<Shape::step * Shape::pixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        prefetch(plane + ahead + i * kLanes);
        if constexpr (Shape::step == 2) prefetch(plane + ahead + in_row + i * kLanes);
      });
    }
    if constexpr (kRows > 0) {
      unroll<kRows>([&]<int r>(Index<r>) FATWOOD_INLINE_LAMBDA {
        add_row<Form, Shape>(plane + r * in_row, weights + r * kWeights, sum);
      });
    } else {
      const float* row = plane;
      const float* row_weights = weights;
      for (int r = rows; r > 0; --r) {
        add_row<Form, Shape>(row, row_weights, sum);
        row += in_row;
        row_weights += kWeights;
      }
    }
    plane += tile.in_plane;
    weights += tile.weights_per_channel;
  }
}

/// Few rows of few taps are written out: around 3 rows of 3 taps a loop takes a quarter of AVX2's
/// time.
template <class Form, class Shape>
FATWOOD_INLINE void add_products(const Tile& tile, Vec (&sum)[Shape::pixels][kBlock]) {
  if constexpr (Shape::taps <= 3) {
    constexpr int kMost = Shape::taps == 3 ? 3 : 2;
    if (tile.rows == kMost) return add_channels<Form, Shape, kMost>(tile, sum);
    if (tile.rows == kMost - 1) return add_channels<Form, Shape, kMost - 1>(tile, sum);
  }
  add_channels<Form, Shape, 0>(tile, sum);
}

template <class Form, int kTaps, int kStep, int kPixels, int kLow, int kHigh>
void correlate_tile(const Tile& tile) {
  using Shape = TileShape<kTaps, kStep, kPixels, kLow, kHigh>;
  Vec sum[kPixels][kBlock];
  if (tile.bias) {
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      constexpr int kClass = Shape::border_class(i);
      unroll<kBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
        sum[i][o] = splat(tile.bias[kClass * kBlock + o]);
      });
    });
  } else {
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      unroll<kBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA { sum[i][o] = Vec{}; });
    });
  }
  prefetch_outputs<Form, kPixels>(tile);
  add_products<Form, Shape>(tile, sum);
  finish<Form, kPixels>(tile, sum);
}

/// Any number of taps: one pixel, whose valid taps are one run.
template <class Form>
void correlate_pixel(const Tile& tile) {
  const Correlate& job = *tile.job;
  const int begin = tile.low;
  const int end = job.x.taps - tile.high;
  Vec sum[1][kBlock];
  unroll<kBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
    sum[0][o] = tile.bias
                    ? splat(tile.bias[(tile.low * (job.x.reach() + 1) + tile.high) * kBlock + o])
                    : Vec{};
  });
  for (int c = 0; c < planes_of<Form>(job.in_channels); ++c) {
    for (int r = 0; r < tile.rows; ++r) {
      const float* row = tile.in + c * tile.in_plane + r * tile.in_row;
      const float* weights = tile.weights + c * tile.weights_per_channel + r * job.x.taps * kBlock;
      for (int k = begin; k < end; ++k) {
        const Vec x = load(row + k * kLanes);
        unroll<kBlock>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
          sum[0][o] = Form::add_product(x, Form::weight(weights + k * kBlock + o), sum[0][o]);
        });
      }
    }
  }
  finish<Form, 1>(tile, sum);
}

using TileFunction = void (*)(const Tile&);
constexpr int kMostReach = 2;

/// The variants for one number of taps and one step: [pixels - 1][low][high].
template <class Form, int kTaps, int kStep>
struct TileVariants {
  TileFunction at[kMostPixels][kMostReach + 1][kMostReach + 1] = {};

  constexpr TileVariants() { fill<1>(); }

 private:
  template <int kPixels, int kLow = 0, int kHigh = 0>
  constexpr void fill() {
    at[kPixels - 1][kLow][kHigh] = correlate_tile<Form, kTaps, kStep, kPixels, kLow, kHigh>;
    if constexpr (kHigh < kTaps / 2) {
      fill<kPixels, kLow, kHigh + 1>();
    } else if constexpr (kLow < kTaps / 2) {
      fill<kPixels, kLow + 1, 0>();
    } else if constexpr (kPixels < kMostPixels) {
      fill<kPixels + 1, 0, 0>();
    }
  }
};

template <class Form, int kTaps, int kStep>
constexpr TileVariants<Form, kTaps, kStep> kTileVariants{};

using VariantTable = TileFunction[kMostPixels][kMostReach + 1][kMostReach + 1];

template <class Form>
const VariantTable* variants_for(const Axis& x) {
  if constexpr (!Form::kTiles) return nullptr;
  switch (x.taps * 10 + x.step) {
    case 11:
      return &kTileVariants<Form, 1, 1>.at;
    case 12:
      return &kTileVariants<Form, 1, 2>.at;
    case 21:
      return &kTileVariants<Form, 2, 1>.at;
    case 31:
      return &kTileVariants<Form, 3, 1>.at;
    case 32:
      return &kTileVariants<Form, 3, 2>.at;
    case 51:
      return &kTileVariants<Form, 5, 1>.at;
    case 52:
      return &kTileVariants<Form, 5, 2>.at;
    default:
      return nullptr;
  }
}

/// Pixels of the next tile when `left` remain: threes, but never a single one at the end.
FATWOOD_INLINE int next_tile(int left) {
  if (left == 2 || left == 4) return 2;
  return left < kMostPixels ? left : kMostPixels;
}

/// One row of output for one block of channels.
template <class Form>
void correlate_row(const Correlate& job, int row, int block, bool leads, Ahead& ahead) {
  const VariantTable* variants = variants_for<Form>(job.x);
  const int low = job.y.low(row);
  const int high = job.y.high(row);
  const std::int64_t in_row = static_cast<std::int64_t>(job.x.extent) * kLanes;
  const std::int64_t per_channel = static_cast<std::int64_t>(job.y.taps) * job.x.taps * kBlock;
  const int classes = job.x.border_classes();
  const int left_channels = job.out_channels - block * kBlock;
  Tile tile{};
  tile.job = &job;
  tile.in_row = in_row;
  tile.in_plane = in_row * job.y.extent;
  tile.weights_per_channel = per_channel;
  tile.weights = job.weights + block * per_channel * planes_of<Form>(job.in_channels) +
                 low * job.x.taps * kBlock;
  tile.rows = job.y.taps - low - high;
  if (tile.rows < 0) tile.rows = 0;
  tile.channel = block * kBlock;
  tile.channels = left_channels < kBlock ? left_channels : kBlock;
  tile.y = job.y.first + job.y.spacing * row;
  tile.leads = leads;
  if (job.bias) {
    tile.bias = job.bias + (static_cast<std::int64_t>(block) * job.y.border_classes() +
                            job.y.border_class(row)) *
                               classes * kBlock;
  }
  const float* in = job.in + (job.y.origin + job.y.step * row + low) * in_row;
  for (int at = 0; at < job.x.count;) {
    const int pixels = variants ? next_tile(job.x.count - at) : 1;
    tile.low = job.x.low(at);
    tile.high = job.x.high(at + pixels - 1);
    tile.in = in + static_cast<std::int64_t>(job.x.origin + job.x.step * at) * kLanes;
    tile.x = job.x.first + job.x.spacing * at;
    tile.first = row == 0 && at == 0;
    if (variants) {
      (*variants)[pixels - 1][tile.low][tile.high](tile);
    } else {
      correlate_pixel<Form>(tile);
    }
    ahead.after_tile();
    at += pixels;
  }
}

/// The same row of the job and of those beside it.
template <class Form>
void correlate_rows(const Correlate& first, int row, int block, Ahead& ahead) {
  for (const Correlate* job = &first; job; job = job->next) {
    if (row >= job->y.count) continue;
    correlate_row<Form>(*job, row, block, block == 0 && job == &first, ahead);
  }
}

template <class Form>
void correlate(const Correlate& job) {
  const int blocks = (job.out_channels + kBlock - 1) / kBlock;
  int rows = 0;
  std::int64_t tiles = 0;
  for (const Correlate* j = &job; j; j = j->next) {
    rows = j->y.count > rows ? j->y.count : rows;
    tiles += std::int64_t{blocks} * j->y.count * ((j->x.count + kMostPixels - 1) / kMostPixels);
  }
  Ahead ahead(job.ahead, job.ahead_floats, tiles);
  // Large images: the rows of the input stay in the first-level cache while every block reads them.
  // Small ones: the weights of a block do.
  if (job.y.extent > 7) {
    for (int row = 0; row < rows; ++row) {
      for (int block = 0; block < blocks; ++block) correlate_rows<Form>(job, row, block, ahead);
    }
  } else {
    for (int block = 0; block < blocks; ++block) {
      for (int row = 0; row < rows; ++row) correlate_rows<Form>(job, row, block, ahead);
    }
  }
}

void fold_stats(const float* stats, int channels, int images, int pixels, PartialMoments* moments) {
  for (int c = 0; c < channels; ++c) {
    const float* s = stats + c * 3 * kLanes;
    double means[kLanes];
    double mean = 0;
    double m2 = 0;
    for (int lane = 0; lane < images; ++lane) {
      const double once = static_cast<double>(s[kLanes + lane]);
      means[lane] = static_cast<double>(s[lane]) + once / pixels;
      mean += means[lane];
      m2 += static_cast<double>(s[2 * kLanes + lane]) - once * once / pixels;
    }
    mean /= images;
    double spread = 0;
    for (int lane = 0; lane < images; ++lane) {
      spread += (means[lane] - mean) * (means[lane] - mean);
    }
    m2 = (m2 < 0 ? 0 : m2) + spread * pixels;
    // The merge of Moments::add, which must not be instantiated in this translation unit.
    PartialMoments& into = moments[c];
    const std::int64_t count = static_cast<std::int64_t>(images) * pixels;
    const double delta = mean - into.mean;
    const double weight = static_cast<double>(count) / static_cast<double>(into.count + count);
    into.m2 += m2 + delta * delta * weight * static_cast<double>(into.count);
    into.mean += delta * weight;
    into.count += count;
  }
}

}  // namespace
}  // namespace fatwood::kernels
