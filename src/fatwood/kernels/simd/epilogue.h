// What follows a correlation's sums: the other path, the activation and the statistics of a forward
// pass, or the norm's and the activation's backward pass of an input gradient.
#pragma once

#include <fatwood/kernels/simd/bf16.h>
#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// Neighbouring output pixels of one row: where they lie in a plane, and the planes' distance.
struct PixelRun {
  const Correlate* job;
  std::int64_t at, plane;
  int step;
  int y, x;
  bool first;  // of the plane: starts the statistics
};

FATWOOD_INLINE PixelRun pixel_run(const Correlate& job, int y, int x, bool first) {
  return {&job,
          (static_cast<std::int64_t>(y) * job.out_width + x) * kLanes,
          static_cast<std::int64_t>(job.out_height) * job.out_width * kLanes,
          job.x.spacing * kLanes,
          y,
          x,
          first};
}

FATWOOD_INLINE Vec activate(Vec v, float slope) {
  return v > 0 ? v : v * slope;
}

/// Of one channel's pixels.
template <int kPixels>
FATWOOD_INLINE void add_statistics(const PixelRun& run, int channel, const Vec (&sum)[kPixels]) {
  float* stats = run.job->stats + channel * 3 * kLanes;
  // The first tile's mean: a single pixel may lie far out, and its distance from the mean is what
  // the sum of squares then cancels.
  Vec shift{};
  if (run.first) {
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA { shift += sum[i]; });
    shift *= 1.0F / kPixels;
  } else {
    shift = load(stats);
  }
  Vec once = run.first ? Vec{} : load(stats + kLanes);
  Vec twice = run.first ? Vec{} : load(stats + 2 * kLanes);
  unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    const Vec d = sum[i] - shift;
    once += d;
    twice = multiply_add(d, d, twice);
  });
  if (run.first) store(stats, shift);
  store(stats + kLanes, once);
  store(stats + 2 * kLanes, twice);
}

template <int kPixels>
FATWOOD_INLINE void finish_forward(const PixelRun& run, int channel, Vec (&sum)[kPixels]) {
  const Correlate& job = *run.job;
  const std::int64_t at = channel * run.plane + run.at;
  if (job.add) {
    const Vec scale = splat(job.add_scale[channel]);
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      sum[i] = multiply_add(scale, load(job.add + at + i * run.step), sum[i]);
    });
  }
  unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    sum[i] = activate(sum[i], job.slope);
    store(job.out + at + i * run.step, sum[i]);
  });
  if (job.stats) add_statistics(run, channel, sum);
}

template <int kPixels>
FATWOOD_INLINE void finish_gradient(const PixelRun& run, int channel, Vec (&sum)[kPixels]) {
  const Correlate& job = *run.job;
  const std::int64_t at = channel * run.plane + run.at;
  const IntVec present = first_lanes(job.images);
  if (job.extra) {
    const float* extra = job.extra + (static_cast<std::int64_t>(channel) * job.extra_height +
                                      (run.y >> job.extra_shift)) *
                                         job.extra_width * kLanes;
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      sum[i] += load(extra + ((run.x + i * job.x.spacing) >> job.extra_shift) * kLanes);
    });
  }
  const float* c = job.coefficients + channel * 4;
  const Vec scale = splat(c[0]);
  const Vec slant = splat(c[1]);
  const Vec offset = splat(c[2]);
  unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    const Vec a = load(job.activation + at + i * run.step);
    const Vec d = multiply_add(scale, sum[i], multiply_add(slant, a, offset));
    store(job.out + at + i * run.step, keep(present, a > 0 ? d : d * job.slope));
  });
}

/// sum: one channel's pixels of the run.
template <int kPixels>
FATWOOD_INLINE void finish_channel(const PixelRun& run, int channel, Vec (&sum)[kPixels]) {
  if (run.job->activation) {
    finish_gradient(run, channel, sum);
  } else {
    finish_forward(run, channel, sum);
  }
}

/// The same for the pixels of channels 2·pair and 2·pair + 1, kept as bf16.
template <int kPixels>
FATWOOD_INLINE void finish_pair_forward(const PixelRun& run, int pair, Vec (&first)[kPixels],
                                        Vec (&second)[kPixels]) {
  const Correlate& job = *run.job;
  const std::int64_t at = pair * run.plane + run.at;
  if (job.add) {
    const Vec scale = splat(job.add_scale[2 * pair]);
    const Vec scale_of_second = splat(job.add_scale[2 * pair + 1]);
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      const Vec add = load(job.add + at + i * run.step);
      first[i] = multiply_add(scale, first_of(add), first[i]);
      second[i] = multiply_add(scale_of_second, second_of(add), second[i]);
    });
  }
  unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    first[i] = activate(first[i], job.slope);
    second[i] = activate(second[i], job.slope);
    store(job.out + at + i * run.step, pairs_of(first[i], second[i]));
  });
  if (job.stats) {
    add_statistics(run, 2 * pair, first);
    add_statistics(run, 2 * pair + 1, second);
  }
}

struct NormGradient {
  Vec scale, slant, offset;
};
FATWOOD_INLINE NormGradient norm_gradient(const float* coefficients) {
  return {splat(coefficients[0]), splat(coefficients[1]), splat(coefficients[2])};
}
FATWOOD_INLINE Vec through_norm(const NormGradient& norm, Vec sum, Vec a, float slope) {
  const Vec d = multiply_add(norm.scale, sum, multiply_add(norm.slant, a, norm.offset));
  return a > 0 ? d : d * slope;
}

template <int kPixels>
FATWOOD_INLINE void finish_pair_gradient(const PixelRun& run, int pair, Vec (&first)[kPixels],
                                         Vec (&second)[kPixels]) {
  const Correlate& job = *run.job;
  const std::int64_t at = pair * run.plane + run.at;
  const IntVec present = first_lanes(job.images);
  if (job.extra) {
    const float* extra = job.extra + (static_cast<std::int64_t>(pair) * job.extra_height +
                                      (run.y >> job.extra_shift)) *
                                         job.extra_width * kLanes;
    unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
      const Vec both = load(extra + ((run.x + i * job.x.spacing) >> job.extra_shift) * kLanes);
      first[i] += first_of(both);
      second[i] += second_of(both);
    });
  }
  const NormGradient norm = norm_gradient(job.coefficients + pair * 8);
  const NormGradient norm_of_second = norm_gradient(job.coefficients + pair * 8 + 4);
  unroll<kPixels>([&]<int i>(Index<i>) FATWOOD_INLINE_LAMBDA {
    const Vec a = load(job.activation + at + i * run.step);
    store(
        job.out + at + i * run.step,
        keep(present, pairs_of(through_norm(norm, first[i], first_of(a), job.slope),
                               through_norm(norm_of_second, second[i], second_of(a), job.slope))));
  });
}

template <int kPixels>
FATWOOD_INLINE void finish_pair(const PixelRun& run, int pair, Vec (&first)[kPixels],
                                Vec (&second)[kPixels]) {
  if (run.job->activation) {
    finish_pair_gradient(run, pair, first, second);
  } else {
    finish_pair_forward(run, pair, first, second);
  }
}

}  // namespace
}  // namespace fatwood::kernels
