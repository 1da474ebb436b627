// Passes over one group's planes of bf16 pairs that no convolution carries in its epilogue. Of an
// odd number of channels the last plane's second half is 0, and stays so: scales, shifts and
// coefficients are padded by values that keep it.
#pragma once

#include <fatwood/kernels/simd/bf16.h>
#include <fatwood/kernels/simd/epilogue.h>
#include <fatwood/kernels/simd/moments.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

void bf16_norm_backward(int channels, int pixels, int images, const float* dy, const float* a,
                        const float* coefficients, float slope, float* out) {
  const IntVec present = first_lanes(images);
  for (int c = 0; c < channels; c += 2) {
    const NormGradient norm = norm_gradient(coefficients + std::ptrdiff_t{c} * 4);
    const NormGradient norm_of_second = norm_gradient(coefficients + std::ptrdiff_t{c} * 4 + 4);
    for (int p = 0; p < pixels; ++p, dy += kLanes, a += kLanes, out += kLanes) {
      const Vec d = load(dy);
      const Vec v = load(a);
      store(out, keep(present,
                      pairs_of(through_norm(norm, first_of(d), first_of(v), slope),
                               through_norm(norm_of_second, second_of(d), second_of(v), slope))));
    }
  }
}

struct TwoChannels {
  Vec first, second;
};
FATWOOD_INLINE TwoChannels load_two(const float* p) {
  const Vec pairs = load(p);
  return {first_of(pairs), second_of(pairs)};
}

void bf16_average_pool(int channels, int height, int width, const float* in, float* out) {
  const int row = width * kLanes;
  for (int c = 0; c < channels; c += 2, in += std::ptrdiff_t{height} * row) {
    for (int y = 0; y < height; y += 2) {
      const float* top = in + std::ptrdiff_t{y} * row;
      const bool two_rows = y + 1 < height;
      for (int x = 0; x < width; x += 2, out += kLanes) {
        const float* at = top + std::ptrdiff_t{x} * kLanes;
        const bool two_columns = x + 1 < width;
        TwoChannels sum = load_two(at);
        const auto add = [&](const float* more) FATWOOD_INLINE_LAMBDA {
          const TwoChannels v = load_two(more);
          sum.first += v.first;
          sum.second += v.second;
        };
        if (two_columns) add(at + kLanes);
        if (two_rows) add(at + row);
        if (two_rows && two_columns) add(at + row + kLanes);
        const float part = two_rows && two_columns ? 0.25F : two_rows || two_columns ? 0.5F : 1.0F;
        store(out, pairs_of(sum.first * part, sum.second * part));
      }
    }
  }
}

void bf16_average_pool_backward(int channels, int height, int width, const float* in, float* out) {
  for (int c = 0; c < channels; c += 2) {
    for (int y = 0; y < height; y += 2) {
      for (int x = 0; x < width; x += 2, in += kLanes, out += kLanes) {
        const TwoChannels v = load_two(in);
        const float part = (y + 1 < height ? 0.5F : 1.0F) * (x + 1 < width ? 0.5F : 1.0F);
        store(out, pairs_of(v.first * part, v.second * part));
      }
    }
  }
}

/// Σ(v - shift) and Σ(v - shift)² of one channel.
struct RunningSums {
  Vec shift, once{}, twice{};

  FATWOOD_INLINE void add(RunningSums& sums, Vec v) {
    const Vec d = v - sums.shift;
    sums.once += d;
    sums.twice = multiply_add(d, d, sums.twice);
  }
  FATWOOD_INLINE void write(const RunningSums& sums, float* stats) {
    store(stats, sums.shift);
    store(stats + kLanes, sums.once);
    store(stats + 2 * kLanes, sums.twice);
  }
};

void bf16_join(int channels, int pixels, const float* a, const float* scale_a, const float* b,
               const float* scale_b, const float* offset, float slope, float* out, float* stats) {
  for (int c = 0; c < channels; c += 2) {
    const auto value = [&](std::ptrdiff_t i) FATWOOD_INLINE_LAMBDA {
      const TwoChannels va = load_two(a + i);
      const TwoChannels vb = load_two(b + i);
      const auto sum = [&](int k, Vec x, Vec y) FATWOOD_INLINE_LAMBDA {
        return activate(multiply_add(splat(scale_a[c + k]), x,
                                     multiply_add(splat(scale_b[c + k]), y, splat(offset[c + k]))),
                        slope);
      };
      return TwoChannels{sum(0, va.first, vb.first), sum(1, va.second, vb.second)};
    };
    const TwoChannels start = value(0);
    RunningSums first{.shift = start.first};
    RunningSums second{.shift = start.second};
    for (int p = 0; p < pixels; ++p, a += kLanes, b += kLanes, out += kLanes) {
      const TwoChannels v = value(0);
      store(out, pairs_of(v.first, v.second));
      RunningSums::add(first, v.first);
      RunningSums::add(second, v.second);
    }
    if (stats) {
      RunningSums::write(first, stats + std::ptrdiff_t{c} * 3 * kLanes);
      RunningSums::write(second, stats + (std::ptrdiff_t{c} + 1) * 3 * kLanes);
    }
  }
}

void bf16_gradient_sums(int channels, int pixels, const float* dy, const float* a, double* sums) {
  constexpr int kRun = 64;  // f32 sums are short, as in gradient_sums
  for (int c = 0; c < channels; c += 2) {
    for (int left = pixels; left > 0; left -= kRun) {
      TwoChannels sum[2]{};
      TwoChannels product[2]{};
      const int n = left < kRun ? left : kRun;
      for (int p = 0; p < n; ++p, dy += kLanes, a += kLanes) {
        const TwoChannels d = load_two(dy);
        const TwoChannels v = load_two(a);
        TwoChannels& s = sum[p % 2];
        TwoChannels& q = product[p % 2];
        s.first += d.first;
        s.second += d.second;
        q.first = multiply_add(d.first, v.first, q.first);
        q.second = multiply_add(d.second, v.second, q.second);
      }
      const auto add = [&](int k, Vec of_sum, Vec of_product) FATWOOD_INLINE_LAMBDA {
        if (c + k >= channels) return;
        sums[(c + k) * 2] += static_cast<double>(sum_lanes(of_sum));
        sums[(c + k) * 2 + 1] += static_cast<double>(sum_lanes(of_product));
      };
      add(0, sum[0].first + sum[1].first, product[0].first + product[1].first);
      add(1, sum[0].second + sum[1].second, product[0].second + product[1].second);
    }
  }
}

void bf16_affine_histogram(const float* x, int channels, int pixels, int images, const float* scale,
                           const float* shift, int bins, float top, std::int64_t* counts) {
  BinCounts histogram(bins, top);
  const IntVec present = first_lanes(images);
  for (int c = 0; c < channels; c += 2) {
    for (int p = 0; p < pixels; ++p, x += kLanes) {
      const TwoChannels v = load_two(x);
      histogram.add(multiply_add(v.first, splat(scale[c]), splat(shift[c])), present);
      if (c + 1 == channels) continue;
      histogram.add(multiply_add(v.second, splat(scale[c + 1]), splat(shift[c + 1])), present);
    }
  }
  histogram.write(counts);
}

}  // namespace
}  // namespace fatwood::kernels
