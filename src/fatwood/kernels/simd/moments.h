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
    unroll<kChains>([&](auto c) FATWOOD_INLINE_LAMBDA {
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

void histogram_of_run(const float* x, std::int64_t n, int bins, float top, std::int64_t* counts) {
  constexpr int kMostBins = 1024;
  // Neighbouring values often share a bin: separate tables keep an increment from waiting for the
  // one before it. Slot 0 takes what is dropped.
  constexpr int kTables = 4;
  static_assert(kLanes % kTables == 0);
  std::uint32_t tables[kTables][kMostBins + 1];
  for (auto& table : tables) __builtin_memset(table, 0, sizeof(std::uint32_t) * (bins + 1));

  const float float_bins = static_cast<float>(bins);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec value = absolute(load_unaligned(x + i));
    const IntVec inside = value <= top;
    IntVec bin = __builtin_convertvector(keep(inside, value * float_bins / top), IntVec);
    bin += bin >= bins;  // a comparison that holds is -1
    bin = (bin + 1) & inside;
    alignas(64) std::int32_t slots[kLanes];
    __builtin_memcpy(slots, &bin, sizeof bin);
    unroll<kLanes>([&](auto lane) FATWOOD_INLINE_LAMBDA { ++tables[lane % kTables][slots[lane]]; });
  }
  for (; i < n; ++i) ++tables[0][bin_of(__builtin_fabsf(x[i]), float_bins, top) + 1];
  for (int bin = 0; bin < bins; ++bin) {
    for (const auto& table : tables) counts[bin] += table[bin + 1];
  }
}

}  // namespace
}  // namespace fatwood::kernels
