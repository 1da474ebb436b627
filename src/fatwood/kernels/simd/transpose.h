// L×L transposition in registers, and what is made of it: the change between NCHW and the
// batch-innermost layout, and gradients turned so that channels lie in the lanes.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// Source lanes of one step of the butterfly: rows i and i + kSize exchange the lanes whose index
/// has, or has not, the bit kSize.
template <int kSize, bool kUpper>
constexpr auto butterfly = [](int j) {
  const bool second = (j & kSize) != 0;
  return kUpper ? (second ? j + kLanes : j + kSize) : (second ? j - kSize + kLanes : j);
};

template <int kSize>
FATWOOD_INLINE void transpose_step(Vec (&rows)[kLanes]) {
  unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    if constexpr ((i & kSize) == 0) {
      const Vec a = rows[i];
      const Vec b = rows[i + kSize];
      rows[i] = shuffle<butterfly<kSize, false>>(a, b);
      rows[i + kSize] = shuffle<butterfly<kSize, true>>(a, b);
    }
  });
  if constexpr (kSize > 1) transpose_step<kSize / 2>(rows);
}

FATWOOD_INLINE void transpose(Vec (&rows)[kLanes]) {
  transpose_step<kLanes / 2>(rows);
}

void interleave(const float* images, int count, int channels, std::int64_t plane, float* out) {
  const std::int64_t size = channels * plane;
  std::int64_t p = 0;
  for (; p + kLanes <= size; p += kLanes) {
    Vec rows[kLanes];
    unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      rows[i] = i < count ? load_unaligned(images + i * size + p) : Vec{};
    });
    transpose(rows);
    unroll<kLanes>([&]<int i>(Index<i>)
                       FATWOOD_INLINE_LAMBDA { store(out + (p + i) * kLanes, rows[i]); });
  }
  for (; p < size; ++p) {
    for (int i = 0; i < kLanes; ++i) out[p * kLanes + i] = i < count ? images[i * size + p] : 0.0F;
  }
}

void deinterleave(const float* in, int count, int channels, std::int64_t plane, const float* scale,
                  const float* shift, float* out) {
  const std::int64_t size = channels * plane;
  for (int c = 0; c < channels; ++c) {
    std::int64_t p = 0;
    for (; p + kLanes <= plane; p += kLanes) {
      const std::int64_t at = c * plane + p;
      Vec rows[kLanes];
      unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        rows[i] = multiply_add(load(in + (at + i) * kLanes), splat(scale[c]), splat(shift[c]));
      });
      transpose(rows);
      unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        if (i < count) store_unaligned(out + i * size + at, rows[i]);
      });
    }
    for (; p < plane; ++p) {
      const std::int64_t at = c * plane + p;
      for (int i = 0; i < count; ++i)
        out[i * size + at] = in[at * kLanes + i] * scale[c] + shift[c];
    }
  }
}

/// A pixel's L channels × L images, transposed.
FATWOOD_INLINE void load_turned(const float* grad, std::int64_t plane, int channels,
                                Vec (&rows)[kLanes]) {
  unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    rows[i] = i < channels ? load(grad + i * plane) : Vec{};
  });
  transpose(rows);
}

void turn_gradient(const Axis& y, const Axis& x, int channels, const float* grad, float* turned,
                   float* sums) {
  const std::int64_t plane = static_cast<std::int64_t>(y.count) * x.count * kLanes;
  const int padded = (channels + kLanes - 1) / kLanes * kLanes;
  for (int oy = 0; oy < y.count; ++oy) {
    float* row_sums =
        sums + static_cast<std::int64_t>(y.border_class(oy)) * x.border_classes() * padded;
    for (int ox = 0; ox < x.count; ++ox) {
      const std::int64_t pixel = static_cast<std::int64_t>(oy) * x.count + ox;
      float* pixel_sums = row_sums + x.border_class(ox) * padded;
      for (int c = 0; c < channels; c += kLanes) {
        Vec rows[kLanes];
        load_turned(grad + c * plane + pixel * kLanes, plane, channels - c, rows);
        unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
          store(turned + (pixel * kLanes + i) * padded + c, rows[i]);
        });
        Vec sum = load(pixel_sums + c);
        Vec even{};
        unroll<kLanes / 2>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
          sum += rows[2 * i];
          even += rows[2 * i + 1];
        });
        store(pixel_sums + c, sum + even);
      }
    }
  }
}

void sum_gradient(const Axis& y, const Axis& x, int channels, const float* grad, float* sums) {
  const int padded = (channels + kLanes - 1) / kLanes * kLanes;
  for (int c = 0; c < channels; ++c) {
    for (int oy = 0; oy < y.count; ++oy) {
      float* row_sums =
          sums + static_cast<std::int64_t>(y.border_class(oy)) * x.border_classes() * padded + c;
      const float* row = grad + (static_cast<std::int64_t>(c) * y.count + oy) * x.count * kLanes;
      // Inner pixels share the class of the middle one; the borders are taken singly.
      const int reach = x.reach() < x.count ? x.reach() : x.count;
      const int inner_end = x.count - reach > reach ? x.count - reach : reach;
      Vec inner{};
      for (int ox = reach; ox < inner_end; ++ox) inner += load(row + ox * kLanes);
      if (inner_end > reach) row_sums[x.border_class(reach) * padded] += sum_lanes(inner);
      for (int ox = 0; ox < x.count; ++ox) {
        if (ox == reach) ox = inner_end;
        if (ox >= x.count) break;
        row_sums[x.border_class(ox) * padded] += sum_lanes(load(row + ox * kLanes));
      }
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
