// Passes over one group's planes that no convolution carries in its epilogue.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

void norm_backward(int channels, int pixels, int images, const float* dy, const float* a,
                   const float* coefficients, float slope, float* out) {
  const IntVec present = first_lanes(images);
  for (int c = 0; c < channels; ++c) {
    const Vec scale = splat(coefficients[c * 4]);
    const Vec slant = splat(coefficients[c * 4 + 1]);
    const Vec offset = splat(coefficients[c * 4 + 2]);
    const std::int64_t begin = static_cast<std::int64_t>(c) * pixels * kLanes;
    const std::int64_t end = begin + static_cast<std::int64_t>(pixels) * kLanes;
    for (std::int64_t i = begin; i < end; i += kLanes) {
      const Vec v = load(a + i);
      const Vec d = multiply_add(scale, load(dy + i), multiply_add(slant, v, offset));
      store(out + i, keep(present, v > 0 ? d : d * slope));
    }
  }
}

void average_pool(int channels, int height, int width, const float* in, float* out) {
  const int row = width * kLanes;
  for (int c = 0; c < channels; ++c, in += height * row) {
    for (int y = 0; y < height; y += 2) {
      const float* top = in + y * row;
      const bool two_rows = y + 1 < height;
      for (int x = 0; x < width; x += 2, out += kLanes) {
        const float* at = top + x * kLanes;
        const bool two_columns = x + 1 < width;
        Vec sum = load(at);
        if (two_columns) sum += load(at + kLanes);
        if (two_rows) sum += load(at + row);
        if (two_rows && two_columns) sum += load(at + row + kLanes);
        store(out, sum * (two_rows && two_columns ? 0.25F : two_rows || two_columns ? 0.5F : 1.0F));
      }
    }
  }
}

void average_pool_backward(int channels, int height, int width, const float* in, float* out) {
  for (int c = 0; c < channels; ++c) {
    for (int y = 0; y < height; y += 2) {
      for (int x = 0; x < width; x += 2, in += kLanes, out += kLanes) {
        store(out, load(in) * ((y + 1 < height ? 0.5F : 1.0F) * (x + 1 < width ? 0.5F : 1.0F)));
      }
    }
  }
}

void join(int channels, int pixels, const float* a, const float* scale_a, const float* b,
          const float* scale_b, const float* offset, float slope, float* out, float* stats) {
  for (int c = 0; c < channels; ++c) {
    const std::int64_t begin = static_cast<std::int64_t>(c) * pixels * kLanes;
    const std::int64_t end = begin + static_cast<std::int64_t>(pixels) * kLanes;
    const auto value = [&](std::int64_t i) FATWOOD_INLINE_LAMBDA {
      const Vec sum = multiply_add(splat(scale_a[c]), load(a + i),
                                   multiply_add(splat(scale_b[c]), load(b + i), splat(offset[c])));
      return sum > 0 ? sum : sum * slope;
    };
    const Vec shift = value(begin);
    Vec once{};
    Vec twice{};
    for (std::int64_t i = begin; i < end; i += kLanes) {
      const Vec v = value(i);
      store(out + i, v);
      const Vec d = v - shift;
      once += d;
      twice = multiply_add(d, d, twice);
    }
    if (stats) {
      store(stats + c * 3 * kLanes, shift);
      store(stats + (c * 3 + 1) * kLanes, once);
      store(stats + (c * 3 + 2) * kLanes, twice);
    }
  }
}

void gradient_sums(int channels, int pixels, const float* dy, const float* a, double* sums) {
  // Short float sums, four at a time for the latency; double between them, because a norm's
  // gradient is what remains after these sums have cancelled most of dy.
  constexpr int kRun = 64;
  for (int c = 0; c < channels; ++c) {
    for (int left = pixels; left > 0; left -= kRun) {
      Vec sum[4]{};
      Vec product[4]{};
      const int n = left < kRun ? left : kRun;
      const auto add = [&](int i) FATWOOD_INLINE_LAMBDA {
        const Vec d = load(dy);
        sum[i] += d;
        product[i] = multiply_add(d, load(a), product[i]);
        dy += kLanes;
        a += kLanes;
      };
      int p = 0;
      for (; p + 4 <= n; p += 4) {
        unroll<4>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA { add(i); });
      }
      for (; p < n; ++p) add(0);
      sums[c * 2] += static_cast<double>(sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])));
      sums[c * 2 + 1] +=
          static_cast<double>(sum_lanes((product[0] + product[1]) + (product[2] + product[3])));
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
