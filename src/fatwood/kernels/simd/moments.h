// Moments and histogram of one run of values.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// x (n): mean and Σ(x - mean)², from sums of d = x - x[0]: m2 = Σd² - (Σd)²/n.
PartialMoments moments_of_run(const float* x, std::int64_t n) {
  if (n <= 0) return {};
  constexpr int kChains = 4;  // hides the latency of the additions
  const float shift = x[0];
  Vec sum[kChains] = {};
  Vec square[kChains] = {};
  std::int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
    unroll<kChains>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA {
      const Vec d = load_unaligned(x + i + c * kLanes) - shift;
      sum[c] += d;
      square[c] = multiply_add(d, d, square[c]);
    });
  }
  double sums = 0;
  double squares = 0;
  for (int c = 0; c < kChains; ++c) {
    for (int lane = 0; lane < kLanes; ++lane) {
      sums += static_cast<double>(sum[c][lane]);
      squares += static_cast<double>(square[c][lane]);
    }
  }
  for (; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(shift);
    sums += d;
    squares += d * d;
  }
  const double count = static_cast<double>(n);
  const double m2 = squares - sums * sums / count;
  return {n, static_cast<double>(shift) + sums / count, m2 < 0 ? 0 : m2};
}

/// bin = trunc(|x|·bins/top), computed in float in this order, as ATen does.
FATWOOD_INLINE int bin_of(float value, float bins, float top) {
  if (!(value >= 0 && value <= top)) return -1;
  const int bin = static_cast<int>(value * bins / top);
  return bin == static_cast<int>(bins) ? bin - 1 : bin;
}

/// Counts of one call, small enough for float-free increments: neighbouring values often share a
/// bin, and separate tables keep an increment from waiting for the one before it. Slot 0 takes what
/// is dropped.
struct BinCounts {
  static constexpr int kMostBins = 1024;
  static constexpr int kTables = 4;
  static_assert(kLanes % kTables == 0);
  std::uint32_t tables[kTables][kMostBins + 1];
  int bins;
  float top;

  BinCounts(int bins_, float top_) : bins(bins_), top(top_) {
    for (auto& table : tables) {
      __builtin_memset(table, 0, sizeof(std::uint32_t) * static_cast<std::size_t>(bins + 1));
    }
  }

  void add(Vec x, IntVec present) {
    const Vec value = absolute(x);
    const IntVec inside = (value <= top) & present;
    IntVec bin =
        __builtin_convertvector(keep(inside, value * static_cast<float>(bins) / top), IntVec);
    bin += bin >= bins;  // a comparison that holds is -1
    bin = (bin + 1) & inside;
    alignas(64) std::int32_t slots[kLanes];
    __builtin_memcpy(slots, &bin, sizeof bin);
    unroll<kLanes>([&]<int lane>(Index<lane>)
                       FATWOOD_INLINE_LAMBDA { ++tables[lane % kTables][slots[lane]]; });
  }

  void write(std::int64_t* counts) const {
    for (int bin = 0; bin < bins; ++bin) {
      for (const auto& table : tables) counts[bin] += table[bin + 1];
    }
  }
};

void histogram_of_run(const float* x, std::int64_t n, int bins, float top, std::int64_t* counts) {
  BinCounts histogram(bins, top);
  const IntVec all = first_lanes(kLanes);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) histogram.add(load_unaligned(x + i), all);
  for (; i < n; ++i) {
    ++histogram.tables[0][bin_of(__builtin_fabsf(x[i]), static_cast<float>(bins), top) + 1];
  }
  histogram.write(counts);
}

/// One group of a value: x (channels, pixels, L), true value scale·x + shift.
void affine_histogram(const float* x, int channels, int pixels, int images, const float* scale,
                      const float* shift, int bins, float top, std::int64_t* counts) {
  BinCounts histogram(bins, top);
  const IntVec present = first_lanes(images);
  for (int c = 0; c < channels; ++c) {
    for (int p = 0; p < pixels; ++p, x += kLanes) {
      histogram.add(multiply_add(load(x), splat(scale[c]), splat(shift[c])), present);
    }
  }
  histogram.write(counts);
}

}  // namespace
}  // namespace fatwood::kernels
