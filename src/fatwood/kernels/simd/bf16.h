// Pairs of bf16 in 32-bit lanes: what the kernels of `--amp bf16` compute with. A lane holds two
// values that belong together: two channels of one image, or two images of one channel. Products
// of pairs are summed in f32, by the dot-product instruction where the target has it, else by two
// multiply-adds. Vectors of pairs travel as `Vec`, so that they can lie where f32 does; nothing
// computes with their bits as floats.
#pragma once

#include <fatwood/kernels/simd/vec.h>

namespace fatwood::kernels {
namespace {

#if defined(__AVX512BF16__)
constexpr bool kNativeDot = true;
#else
constexpr bool kNativeDot = false;
#endif

constexpr int kPairLanes = kLanes / 2;  // pairs of images in a vector's worth of images

FATWOOD_INLINE IntVec bits_of(Vec v) {
  return reinterpret_cast<IntVec>(v);
}
FATWOOD_INLINE Vec of_bits(IntVec v) {
  return reinterpret_cast<Vec>(v);
}

/// The first and the second value of each pair, in f32.
FATWOOD_INLINE Vec first_of(Vec pairs) {
  return of_bits(bits_of(pairs) << 16);
}
FATWOOD_INLINE Vec second_of(Vec pairs) {
  return of_bits(bits_of(pairs) & static_cast<std::int32_t>(0xffff0000));
}

/// Bits of v rounded to bf16, to nearest and ties to even, in the upper half of each lane; NaN
/// stays NaN.
FATWOOD_INLINE IntVec rounded_bits(Vec v) {
  typedef std::uint32_t UnsignedVec __attribute__((vector_size(4 * kLanes), may_alias));
  const IntVec bits = bits_of(v);
  const UnsignedVec upper = reinterpret_cast<UnsignedVec>(bits);  // a NaN's may pass 2^31
  const IntVec rounded = reinterpret_cast<IntVec>(upper + (0x7fff + ((upper >> 16) & 1)));
  const IntVec is_number = v == v;
  return (is_number & rounded) | (~is_number & (bits | 0x00400000));
}

/// Rounds to nearest. The dot-product target takes what is below f32's normal range for zero.
FATWOOD_INLINE Vec pairs_of(Vec first, Vec second) {
#if defined(__AVX512BF16__)
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
  return reinterpret_cast<Vec>(_mm512_permutexvar_epi16(order, reinterpret_cast<__m512i>(both)));
#else
  return of_bits(((rounded_bits(first) >> 16) & 0xffff) |
                 (rounded_bits(second) & static_cast<std::int32_t>(0xffff0000)));
#endif
}

/// sum + first(a)·first(b) + second(a)·second(b)
FATWOOD_INLINE Vec dot(Vec a, Vec b, Vec sum) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  return multiply_add(first_of(a), first_of(b), multiply_add(second_of(a), second_of(b), sum));
#endif
}

/// The pair at p in every lane.
FATWOOD_INLINE Vec splat_pair(const float* p) {
  std::int32_t bits = 0;
  __builtin_memcpy(&bits, p, sizeof bits);
  return of_bits(bits - IntVec{});
}

/// The two pairs at p in turn: p[0], p[1], p[0], p[1], …
FATWOOD_INLINE Vec splat_two_pairs(const float* p) {
  typedef std::int64_t LongVec __attribute__((vector_size(4 * kLanes), may_alias));
  std::int64_t bits = 0;
  __builtin_memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<Vec>(bits - LongVec{});
}

/// Two channels of 2·L/2 images each (lane n: channels of image n) → lane 2m + h: images 2m and
/// 2m + 1 of channel h.
FATWOOD_INLINE Vec split_channels(Vec pairs) {
  typedef std::int16_t ShortVec __attribute__((vector_size(4 * kLanes), may_alias));
  constexpr auto from = [](int lane) {
    const int m = lane / 4, h = lane / 2 % 2, g = lane % 2;
    return (2 * m + g) * 2 + h;
  };
  const auto shorts = reinterpret_cast<ShortVec>(pairs);
  return reinterpret_cast<Vec>(shuffle<from>(shorts, shorts));
}

}  // namespace
}  // namespace fatwood::kernels
