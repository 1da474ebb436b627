// Bytes to scaled floats, in a row or with the images of a group interleaved.
#pragma once

#include <fatwood/kernels/simd/vec.h>

namespace fatwood::kernels {
namespace {

typedef std::uint8_t ByteVec __attribute__((vector_size(kLanes)));

FATWOOD_INLINE Vec floats_of(const std::uint8_t* p) {
  ByteVec bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return __builtin_convertvector(__builtin_convertvector(bytes, IntVec), Vec);
}

/// in (n) bytes → out (n): in·scale + shift.
void scale_bytes(const std::uint8_t* in, std::int64_t n, float scale, float shift, float* out) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store_unaligned(out + i, multiply_add(floats_of(in + i), splat(scale), splat(shift)));
  }
  for (; i < n; ++i) out[i] = static_cast<float>(in[i]) * scale + shift;
}

/// images (count ≤ kLanes) of `size` bytes → out (size, kLanes); lanes past `count` become 0.
void interleave_bytes(const std::uint8_t* const* images, int count, std::int64_t size, float scale,
                      float shift, float* out) {
  const IntVec present = first_lanes(count);
  std::int64_t p = 0;
  for (; p + kLanes <= size; p += kLanes) {
    alignas(64) std::uint8_t block[kLanes][kLanes] = {};  // [pixel][image]
    for (int i = 0; i < count; ++i) {
      std::uint8_t row[kLanes];
      __builtin_memcpy(row, images[i] + p, sizeof row);
      for (int j = 0; j < kLanes; ++j) block[j][i] = row[j];
    }
    for (int j = 0; j < kLanes; ++j) {
      store(out + (p + j) * kLanes,
            keep(present, multiply_add(floats_of(block[j]), splat(scale), splat(shift))));
    }
  }
  for (; p < size; ++p) {
    for (int i = 0; i < kLanes; ++i) {
      out[p * kLanes + i] = i < count ? static_cast<float>(images[i][p]) * scale + shift : 0.0F;
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
