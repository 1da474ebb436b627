// The batch-innermost layout with pairs of channels in the lanes: from and to NCHW, gradients
// turned so that output channels lie in the lanes, inputs split by channels.
#pragma once

#include <fatwood/kernels/simd/bf16.h>
#include <fatwood/kernels/simd/transpose.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// L/2 × L/2 elements of 64 bits, transposed in registers.
template <int kSize>
FATWOOD_INLINE void transpose_two_step(Vec (&rows)[kPairLanes]) {
  unroll<kPairLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    if constexpr ((i & kSize) == 0) {
      const Vec a = rows[i];
      const Vec b = rows[i + kSize];
      rows[i] = shuffle<butterfly<2 * kSize, false>>(a, b);
      rows[i + kSize] = shuffle<butterfly<2 * kSize, true>>(a, b);
    }
  });
  if constexpr (kSize > 1) transpose_two_step<kSize / 2>(rows);
}

/// One pixel of L channels at most, from `grad` (pairs, pixels, L): row m has output channels in
/// its lanes, images 2m and 2m + 1.
FATWOOD_INLINE void load_turned_pairs(const float* grad, std::int64_t plane, int channels,
                                      Vec (&rows)[kPairLanes]) {
  unroll<kPairLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    rows[i] = 2 * i < channels ? split_channels(load(grad + i * plane)) : Vec{};
  });
  transpose_two_step<kPairLanes / 2>(rows);
}

FATWOOD_INLINE Vec ones_in_pairs() {
  return of_bits(0x3f803f80 - IntVec{});
}

/// The first L/2 lanes, each twice.
FATWOOD_INLINE Vec doubled(Vec v) {
  return shuffle<[](int i) { return i / 2; }>(v, v);
}

template <bool kDoubled>
FATWOOD_INLINE void turn_pairs(const Axis& y, const Axis& x, int channels, const float* grad,
                               float* turned, float* sums) {
  const std::int64_t plane = static_cast<std::int64_t>(y.count) * x.count * kLanes;
  const int padded = (channels + kLanes - 1) / kLanes * kLanes;
  const Vec ones = ones_in_pairs();
  for (int oy = 0; oy < y.count; ++oy) {
    float* row_sums =
        sums + static_cast<std::int64_t>(y.border_class(oy)) * x.border_classes() * padded;
    for (int ox = 0; ox < x.count; ++ox) {
      const std::int64_t pixel = static_cast<std::int64_t>(oy) * x.count + ox;
      float* pixel_sums = row_sums + static_cast<std::int64_t>(x.border_class(ox)) * padded;
      for (int c = 0; c < channels; c += kLanes) {
        Vec rows[kPairLanes];
        load_turned_pairs(grad + c / 2 * plane + pixel * kLanes, plane, channels - c, rows);
        Vec sum = load(pixel_sums + c);
        Vec odd{};
        unroll<kPairLanes / 2>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
          sum = dot(rows[2 * i], ones, sum);
          odd = dot(rows[2 * i + 1], ones, odd);
        });
        store(pixel_sums + c, sum + odd);
        unroll<kPairLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
          store(turned + (pixel * kPairLanes + i) * padded + c,
                kDoubled ? doubled(rows[i]) : rows[i]);
        });
      }
    }
  }
}

/// Rows of up to L/2 channels are doubled for weight_gradient_half_lanes.
void bf16_turn_gradient(const Axis& y, const Axis& x, int channels, const float* grad,
                        float* turned, float* sums) {
  if (channels > kPairLanes) {
    turn_pairs<false>(y, x, channels, grad, turned, sums);
  } else {
    turn_pairs<true>(y, x, channels, grad, turned, sums);
  }
}

void bf16_split_channels(const float* in, int channels, std::int64_t pixels, float* out) {
  const std::int64_t lanes = (channels + 1) / 2 * pixels * kLanes;
  for (std::int64_t i = 0; i < lanes; i += kLanes) store(out + i, split_channels(load(in + i)));
}

void bf16_interleave(const float* images, int count, int channels, std::int64_t plane, float* out) {
  const std::int64_t size = channels * plane;
  for (int c = 0; c < channels; c += 2) {
    const bool two = c + 1 < channels;
    std::int64_t p = 0;
    const auto load_rows = [&](int channel, Vec(&rows)[kLanes]) FATWOOD_INLINE_LAMBDA {
      unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        rows[i] = i < count ? load_unaligned(images + i * size + channel * plane + p) : Vec{};
      });
      transpose(rows);
    };
    for (; p + kLanes <= plane; p += kLanes) {
      Vec first[kLanes];
      Vec second[kLanes] = {};
      load_rows(c, first);
      if (two) load_rows(c + 1, second);
      unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        store(out + (p + i) * kLanes, pairs_of(first[i], second[i]));
      });
    }
    for (; p < plane; ++p) {
      Vec first{};
      Vec second{};
      for (int i = 0; i < count; ++i) {
        first[i] = images[i * size + c * plane + p];
        if (two) second[i] = images[i * size + (c + 1) * plane + p];
      }
      store(out + p * kLanes, pairs_of(first, second));
    }
    out += plane * kLanes;
  }
}

void bf16_deinterleave(const float* in, int count, int channels, std::int64_t plane,
                       const float* scale, const float* shift, float* out) {
  const std::int64_t size = channels * plane;
  for (int c = 0; c < channels; ++c) {
    const float* from = in + c / 2 * plane * kLanes;
    const auto value = [&](std::int64_t p) FATWOOD_INLINE_LAMBDA {
      const Vec pairs = load(from + p * kLanes);
      return multiply_add(c % 2 == 0 ? first_of(pairs) : second_of(pairs), splat(scale[c]),
                          splat(shift[c]));
    };
    std::int64_t p = 0;
    for (; p + kLanes <= plane; p += kLanes) {
      Vec rows[kLanes];
      unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA { rows[i] = value(p + i); });
      transpose(rows);
      unroll<kLanes>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
        if (i < count) store_unaligned(out + i * size + c * plane + p, rows[i]);
      });
    }
    for (; p < plane; ++p) {
      const Vec v = value(p);
      for (int i = 0; i < count; ++i) out[i * size + c * plane + p] = v[i];
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
