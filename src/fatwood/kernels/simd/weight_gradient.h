// Weight gradients of one group: G[o][c][ky][kx] += Σ_pixels Σ_images grad[o][pixel]·in[c][pixel +
// tap].
//
// Two arrangements. Channel lanes: the gradient, turned, has output channels in its lanes and the
// input is broadcast image by image; sums need no reduction. Image lanes: for few output or input
// channels, where channel lanes or their sums' registers would stay empty (plan.cpp has the rule);
// sums are vectors over images, reduced once a step. A tile sums from zero and adds its sum to
// those of the tiles before: a step has thousands of products to a sum, and added one by one they
// would round thousands of times.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// The outputs whose tap k falls inside: [begin, end).
struct Span {
  int begin, end;
};
FATWOOD_INLINE Span valid_outputs(const Axis& axis, int k) {
  const int lowest = -axis.origin - k;                    // step·o ≥ lowest
  const int highest = axis.extent - 1 - axis.origin - k;  // step·o ≤ highest
  int begin = lowest <= 0 ? 0 : (lowest + axis.step - 1) / axis.step;
  int end = highest < 0 ? 0 : highest / axis.step + 1;
  if (end > axis.count) end = axis.count;
  if (begin > end) begin = end;
  return {begin, end};
}

/// Of the rows in [begin, end).
FATWOOD_INLINE Span within(Span span, int begin, int end) {
  if (span.begin < begin) span.begin = begin;
  if (span.end > end) span.end = end;
  if (span.end < span.begin) span.end = span.begin;
  return span;
}

/// Rows of a group's output gradients, about 32 KiB of them, that stay near while taps and channels
/// go over them; more where sums that do not stay in the second-level cache are read and written
/// for each.
FATWOOD_INLINE int rows_at_once(const WeightGradient& job, std::int64_t width, std::int64_t sums) {
  constexpr std::int64_t kCache = 8192;  // floats
  constexpr std::int64_t kManySums = std::int64_t{64} * 1024;
  constexpr int kPixels = 28;
  std::int64_t rows = kCache / (job.x.count * kLanes * width);
  if (sums > kManySums && rows * job.x.count < kPixels) {
    rows = (kPixels + job.x.count - 1) / job.x.count;
  }
  return rows < 1 ? 1 : rows < job.y.count ? static_cast<int>(rows) : job.y.count;
}

/// Input channels by sixes and then fours: [0, sixes_end), [sixes_end, fours_end), less than four
/// left.
struct Split {
  int sixes_end, fours_end;
};
FATWOOD_INLINE Split split_into_sixes(int channels) {
  const int left = channels % 6;
  const int fours = left >= 4 ? 1 : left >= 2 && channels >= 8 ? 2 : 0;
  const int sixes_end = channels - left - (fours == 2 ? 6 : 0);
  return {sixes_end, sixes_end + 4 * fours};
}

/// kInputs input channels × kVectors vectors of output channels for one tap. `ahead`: from an input
/// to what a later call is the first to read, or 0.
template <int kInputs, int kVectors>
FATWOOD_INLINE void channel_lane_tile(const WeightGradient& job, const float* in, const float* grad,
                                      float* sums, std::int64_t sums_stride, int padded, int ky,
                                      int kx, int row_begin, int row_end, std::int64_t ahead) {
  const Span columns = valid_outputs(job.x, kx);
  const std::int64_t row = static_cast<std::int64_t>(job.x.extent) * kLanes;
  const std::int64_t plane = job.y.extent * row;
  Vec sum[kInputs][kVectors] = {};
  for (int group = 0; group < job.groups; ++group, in += job.in_group, grad += job.grad_group) {
    for (int oy = row_begin; oy < row_end; ++oy) {
      const std::int64_t iy = job.y.origin + job.y.step * oy + ky;
      const float* a =
          in + (iy * job.x.extent + job.x.origin + job.x.step * columns.begin + kx) * kLanes;
      const float* d =
          grad + (static_cast<std::int64_t>(oy) * job.x.count + columns.begin) * kLanes * padded;
      for (int ox = columns.begin; ox < columns.end; ++ox) {
        if (ahead) {
          unroll<kInputs>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
            prefetch(a + c * plane + ahead);
            if (job.x.step == 2) {
              prefetch(a + c * plane + ahead + kLanes);
              prefetch(a + c * plane + ahead + row);
              prefetch(a + c * plane + ahead + row + kLanes);
            }
          });
        }
        for (int n = 0; n < kLanes; ++n) {
          Vec g[kVectors];
          unroll<kVectors>([&]<int v>(Index<v>)
                               FATWOOD_INLINE_LAMBDA { g[v] = load(d + v * kLanes); });
          unroll<kInputs>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
            const Vec x = splat(a[c * plane + n]);
            unroll<kVectors>([&]<int v>(Index<v>) FATWOOD_INLINE_LAMBDA {
              sum[c][v] = multiply_add(g[v], x, sum[c][v]);
            });
          });
          d += padded;
        }
        a += job.x.step * kLanes;
      }
    }
  }
  unroll<kInputs>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
    unroll<kVectors>([&]<int v>(Index<v>) FATWOOD_INLINE_LAMBDA {
      float* at = sums + c * sums_stride + v * kLanes;
      store(at, load(at) + sum[c][v]);
    });
  });
}

template <int kInputs, int kVectors>
void channel_lane_pass(const WeightGradient& job, int first, int last) {
  const int padded = (job.out_channels + kLanes - 1) / kLanes * kLanes;
  const std::int64_t plane = static_cast<std::int64_t>(job.y.extent) * job.x.extent * kLanes;
  const std::int64_t taps = static_cast<std::int64_t>(job.y.taps) * job.x.taps;
  constexpr int kWidth = kVectors * kLanes;
  const std::int64_t per_input = taps * kWidth;
  const int at_once = rows_at_once(job, kWidth, taps * job.in_channels * padded);
  const std::int64_t next = static_cast<std::int64_t>(at_once) * job.y.step * job.x.extent * kLanes;
  for (int tile = 0; tile < padded / kWidth; ++tile) {
    for (int begin = 0; begin < job.y.count; begin += at_once) {
      const bool leads = tile == 0 && begin + at_once < job.y.count;
      for (int c = first; c + kInputs <= last; c += kInputs) {
        for (int ky = 0; ky < job.y.taps; ++ky) {
          const Span rows = within(valid_outputs(job.y, ky), begin, begin + at_once);
          if (rows.begin == rows.end) continue;
          for (int kx = 0; kx < job.x.taps; ++kx) {
            float* sums = job.sums +
                          (static_cast<std::int64_t>(tile) * job.in_channels + c) * per_input +
                          (ky * job.x.taps + kx) * kWidth;
            const bool middle = ky == job.y.taps / 2 && kx == job.x.taps / 2;
            channel_lane_tile<kInputs, kVectors>(job, job.in + c * plane, job.grad + tile * kWidth,
                                                 sums, per_input, padded, ky, kx, rows.begin,
                                                 rows.end, leads && middle ? next : 0);
          }
        }
      }
    }
  }
}

template <int kInputs, int kVectors>
void channel_lanes(const WeightGradient& job) {
  const int whole = job.in_channels / kInputs * kInputs;
  channel_lane_pass<kInputs, kVectors>(job, 0, whole);
  channel_lane_pass<1, kVectors>(job, whole, job.in_channels);
}

/// With 16 registers: six inputs × two vectors, the rest by fours, since with less than eight sums
/// each waits for the one before.
void narrow_channel_lanes(const WeightGradient& job) {
  const Split inputs = split_into_sixes(job.in_channels);
  channel_lane_pass<6, 2>(job, 0, inputs.sixes_end);
  channel_lane_pass<4, 2>(job, inputs.sixes_end, inputs.fours_end);
  channel_lane_pass<1, 2>(job, inputs.fours_end, job.in_channels);
}

void weight_gradient_channel_lanes(const WeightGradient& job) {
  // Enough sums in flight to hide the latency of a multiply-add, within the registers.
  if (job.vectors == 1) {
    channel_lanes<8, 1>(job);
  } else if (kLanes < 16) {  // not constexpr: clang would call the function unused
    narrow_channel_lanes(job);
  } else if (job.vectors == 2) {
    channel_lanes<8, 2>(job);
  } else {
    channel_lanes<4, 4>(job);
  }
}

/// One pixel of kOutputs gradients × the kTaps taps of a row, kLow and kHigh of them on padding.
template <int kOutputs, int kTaps, int kLow, int kHigh>
FATWOOD_INLINE void image_lane_pixel(Vec (&sum)[kOutputs][kTaps], const float* grad,
                                     std::int64_t grad_plane, const float* in) {
  Vec x[kTaps];
  unroll<kTaps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
    if constexpr (k >= kLow && k < kTaps - kHigh) {
      x[k] = load(in + k * kLanes);
    }
  });
  unroll<kOutputs>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
    const Vec d = load(grad + o * grad_plane);
    unroll<kTaps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
      if constexpr (k >= kLow && k < kTaps - kHigh) {
        sum[o][k] = multiply_add(d, x[k], sum[o][k]);
      }
    });
  });
}

template <int kOutputs, int kTaps>
FATWOOD_INLINE void image_lane_border(Vec (&sum)[kOutputs][kTaps], const float* grad,
                                      std::int64_t grad_plane, const float* in, int low, int high) {
  // Not a switch over variants: borders are few, and a tap costs what its product costs.
  unroll<kTaps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
    if (k < low || k >= kTaps - high) return;
    const Vec x = load(in + k * kLanes);
    unroll<kOutputs>([&]<int o>(Index<o>) FATWOOD_INLINE_LAMBDA {
      sum[o][k] = multiply_add(load(grad + o * grad_plane), x, sum[o][k]);
    });
  });
}

template <int kOutputs, int kTaps>
void image_lane_tile(const WeightGradient& job, int o, int c, int ky, int first_tap) {
  const std::int64_t in_row = static_cast<std::int64_t>(job.x.extent) * kLanes;
  const std::int64_t grad_row = static_cast<std::int64_t>(job.x.count) * kLanes;
  const std::int64_t grad_plane = grad_row * job.y.count;
  const std::int64_t taps = static_cast<std::int64_t>(job.y.taps) * job.x.taps;
  const float* in = job.in + c * in_row * job.y.extent;
  const float* grad = job.grad + o * grad_plane;
  float* sums = job.sums + ((static_cast<std::int64_t>(o) * job.in_channels + c) * taps +
                            ky * job.x.taps + first_tap) *
                               kLanes;
  const std::int64_t sums_stride = job.in_channels * taps * kLanes;
  // Output positions with all of this tile's taps inside.
  Axis x = job.x;
  x.taps = kTaps;
  x.origin += first_tap;
  int inner_begin = valid_outputs(x, 0).begin;
  int inner_end = valid_outputs(x, kTaps - 1).end;
  if (inner_begin > inner_end) inner_begin = inner_end = x.count;

  Vec sum[kOutputs][kTaps] = {};
  const Span rows = valid_outputs(job.y, ky);
  for (int oy = rows.begin; oy < rows.end; ++oy) {
    const float* a = in + (job.y.origin + job.y.step * oy + ky) * in_row + x.origin * kLanes;
    const float* d = grad + oy * grad_row;
    int ox = 0;
    for (; ox < inner_begin; ++ox) {
      image_lane_border<kOutputs, kTaps>(sum, d + ox * kLanes, grad_plane, a + ox * x.step * kLanes,
                                         x.low(ox), x.high(ox));
    }
    for (; ox < inner_end; ++ox) {
      image_lane_pixel<kOutputs, kTaps, 0, 0>(sum, d + ox * kLanes, grad_plane,
                                              a + ox * x.step * kLanes);
    }
    for (; ox < x.count; ++ox) {
      image_lane_border<kOutputs, kTaps>(sum, d + ox * kLanes, grad_plane, a + ox * x.step * kLanes,
                                         x.low(ox), x.high(ox));
    }
  }
  unroll<kOutputs>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    unroll<kTaps>([&]<int k>(Index<k>) FATWOOD_INLINE_LAMBDA {
      float* at = sums + i * sums_stride + k * kLanes;
      store(at, load(at) + sum[i][k]);
    });
  });
}

/// Outputs [first, last), kOutputs at a time; taps of a row in runs of kTaps, from `tap` to `end`.
template <int kOutputs, int kTaps>
void image_lane_pass(const WeightGradient& job, int first, int last, int tap, int end) {
  for (int o = first; o + kOutputs <= last; o += kOutputs) {
    for (int c = 0; c < job.in_channels; ++c) {
      for (int ky = 0; ky < job.y.taps; ++ky) {
        for (int kx = tap; kx < end; kx += kTaps) {
          image_lane_tile<kOutputs, kTaps>(job, o, c, ky, kx);
        }
      }
    }
  }
}

template <int kOutputs, int kTaps>
void image_lanes(const WeightGradient& job, int tap, int end) {
  const int whole = job.out_channels / kOutputs * kOutputs;
  image_lane_pass<kOutputs, kTaps>(job, 0, whole, tap, end);
  image_lane_pass<1, kTaps>(job, whole, job.out_channels, tap, end);
}

void weight_gradient_image_lanes(const WeightGradient& job) {
  constexpr bool kWide = kLanes == 16;
  constexpr int kOutputs = kWide ? 8 : 4;
  const int taps = job.x.taps;
  if (taps == 3) {
    image_lanes<kOutputs, 3>(job, 0, taps);
  } else if (taps != 5) {
    image_lanes<8, 1>(job, 0, taps);
  } else if constexpr (kWide) {
    image_lanes<4, 5>(job, 0, taps);
  } else {
    image_lanes<4, 3>(job, 0, 3);
    image_lanes<4, 2>(job, 3, taps);
  }
}

}  // namespace
}  // namespace fatwood::kernels
