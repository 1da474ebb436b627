// One vector type for all kernels: GCC's vector extension, as wide as the target that the including
// file is compiled for (see targets/). Everything in simd/ has internal linkage and calls nothing
// from the standard library: the linker may keep any one copy of an inline function, and a copy
// compiled for AVX-512 would break on other machines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// With AddressSanitizer's checks in it, a whole tile at once takes the compiler 7 minutes; in
// pieces, 1.
#if defined(__SANITIZE_ADDRESS__)
#define FATWOOD_TILES_IN_PIECES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FATWOOD_TILES_IN_PIECES
#endif
#endif
#if defined(FATWOOD_TILES_IN_PIECES)
#define FATWOOD_INLINE [[maybe_unused]] static inline
#define FATWOOD_INLINE_LAMBDA
#else
#define FATWOOD_INLINE static inline __attribute__((always_inline))
#define FATWOOD_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace fatwood::kernels {
namespace {

#if defined(__AVX512F__) || defined(FATWOOD_EMULATE_AVX512)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * kLanes), may_alias));
typedef float UnalignedVec __attribute__((vector_size(4 * kLanes), may_alias, aligned(4)));
typedef std::int32_t IntVec __attribute__((vector_size(4 * kLanes), may_alias));

FATWOOD_INLINE Vec load(const float* p) {
  return *reinterpret_cast<const Vec*>(p);
}
FATWOOD_INLINE void store(float* p, Vec v) {
  *reinterpret_cast<Vec*>(p) = v;
}
/// The same pointer, of which the compiler knows nothing more. It would keep what was loaded from
/// it for later, and spill sums for that where these fill the registers.
FATWOOD_INLINE const float* opaque(const float* p) {
  __asm__("" : "+r"(p));
  return p;
}
FATWOOD_INLINE Vec load_unaligned(const float* p) {
  return *reinterpret_cast<const UnalignedVec*>(p);
}
FATWOOD_INLINE void store_unaligned(float* p, Vec v) {
  *reinterpret_cast<UnalignedVec*>(p) = v;
}
// Not 0 + s, which would turn -0 into 0 and so cost an addition.
FATWOOD_INLINE Vec splat(float s) {
  return s - Vec{};
}
FATWOOD_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
  return a * b + c;
}

/// Asks for a vector's line ahead of its use: into the second-level cache, or for outputs into the
/// first. Tiles go over many planes at once, more streams than the processor foresees by itself.
FATWOOD_INLINE void prefetch(const float* p) {
  __builtin_prefetch(p, 0, 2);
}
FATWOOD_INLINE void prefetch_to_write(const float* p) {
  __builtin_prefetch(p, 1, 3);
}

FATWOOD_INLINE Vec square_root(Vec v) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(v);
#elif defined(__AVX2__) && !defined(FATWOOD_EMULATE_AVX512)
  return _mm256_sqrt_ps(v);
#elif defined(__x86_64__) && !defined(FATWOOD_EMULATE_AVX512)
  return _mm_sqrt_ps(v);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

FATWOOD_INLINE Vec absolute(Vec v) {
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(v) & 0x7fffffff);
}

/// All bits set in the first `n` lanes.
FATWOOD_INLINE IntVec first_lanes(int n) {
  IntVec index;
  for (int i = 0; i < kLanes; ++i) index[i] = i;
  return index < n;
}

FATWOOD_INLINE Vec keep(IntVec mask, Vec v) {
  return reinterpret_cast<Vec>(mask & reinterpret_cast<IntVec>(v));
}

FATWOOD_INLINE float sum_lanes(Vec v) {
  float halves[kLanes];
  __builtin_memcpy(halves, &v, sizeof v);
  for (int n = kLanes / 2; n; n /= 2) {
    for (int i = 0; i < n; ++i) halves[i] += halves[i + n];
  }
  return halves[0];
}

template <int I>
struct Index {
  static constexpr int value = I;
  constexpr operator int() const { return I; }
};

/// function(Index<0>()), …, function(Index<N - 1>()): a loop whose counter is a constant.
template <int N, int I = 0, class Function>
FATWOOD_INLINE void unroll(Function&& function) {
  if constexpr (I < N) {
    function(Index<I>());
    unroll<N, I + 1>(function);
  }
}

template <auto from, class V, int... lanes>
FATWOOD_INLINE V shuffle(V a, V b, std::integer_sequence<int, lanes...>) {
  return __builtin_shufflevector(a, b, from(lanes)...);
}

/// Lane i of the result is lane from(i) of the lanes of `a` with those of `b` behind them.
template <auto from, class V>
FATWOOD_INLINE V shuffle(V a, V b) {
  return shuffle<from>(a, b, std::make_integer_sequence<int, sizeof(V) / sizeof(a[0])>());
}

}  // namespace
}  // namespace fatwood::kernels
