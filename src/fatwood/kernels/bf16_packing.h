// packing.h for bf16: weights by pairs of the channels that a product sums over. What a norm below
// subtracts is taken from the weights as they were rounded, so that rounding them is a small change
// of the weights and not a shift of what they are multiplied with.
#pragma once

#include <bit>
#include <cstdint>

#include <fatwood/kernels/packing.h>

namespace fatwood::kernels {

/// To nearest, ties to even; NaN stays NaN.
inline std::uint16_t bf16_bits(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  if (v != v) return static_cast<std::uint16_t>(bits >> 16 | 0x0040);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Floats, each a pair, of the packed weights and of one parity pair of the input gradient.
std::int64_t bf16_packed_weights_size(const ConvShape& conv, int block);
std::int64_t bf16_packed_gradient_size(const ConvShape& conv, int block, const GradientAxis& y,
                                       const GradientAxis& x);

/// As pack_forward, packed being (⌈O/block⌉, pairs of I, ky, kx, block).
void bf16_pack_forward(const ConvShape& conv, int block, const float* weight, const float* scale,
                       const float* shift, const float* bias, float* packed, float* table,
                       const ParallelFor& parallel);

/// As pack_gradient, packed being (⌈I/block⌉, pairs of O, y taps, x taps, block).
void bf16_pack_gradient(const ConvShape& conv, int block, const float* weight,
                        const GradientAxis& y, const GradientAxis& x, float* packed,
                        const ParallelFor& parallel);

}  // namespace fatwood::kernels
