// The yardstick of the benchmarks: multiply-adds on registers alone.
#pragma once

#include <fatwood/kernels/simd/vec.h>

namespace fatwood::kernels {
namespace {

constexpr int kPeakChains = 12;

/// Runs rounds × 12 vector multiply-adds and returns something that depends on all of them.
float run_multiply_adds(std::int64_t rounds) {
  Vec sum[kPeakChains];  // different from the start, or they would be computed once
  unroll<kPeakChains>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA { sum[c] = splat(c); });
  Vec x = splat(1.0F);
  Vec w = splat(0.5F);
  for (std::int64_t i = 0; i < rounds; ++i) {
    // Opaque to the compiler, which would otherwise hoist or merge the products.
#if defined(__x86_64__) && !defined(FATWOOD_EMULATE_AVX512)
    asm volatile("" : "+x"(x), "+x"(w));
#else
    asm volatile("" : "+m"(x), "+m"(w));
#endif
    unroll<kPeakChains>([&]<int c>(Index<c>)
                            FATWOOD_INLINE_LAMBDA { sum[c] = multiply_add(x, w, sum[c]); });
  }
  Vec total{};
  unroll<kPeakChains>([&]<int c>(Index<c>) FATWOOD_INLINE_LAMBDA { total += sum[c]; });
  return sum_lanes(total);
}

}  // namespace
}  // namespace fatwood::kernels
