// CUDA C++ on the processor, for tests where there is no GPU: what the .cu files use of the
// language, and a block's threads as fibers that take turns at its barriers. Slow, and exact: a
// barrier that is missing shows, since nothing runs beside anything else but in one order.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

namespace emulation {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

extern Index thread, block, grid, block_size;
extern unsigned* dynamic_shared;

/// Waits for the block's threads, or for the warp's. A thread that has returned is not waited for.
void wait_for_block();
void wait_for_warp();

/// Runs a kernel, block after block.
void run(Index grid, unsigned threads, std::int64_t shared_bytes,
         const std::function<void()>& kernel);

}  // namespace emulation

#define __device__
#define __global__
#define __host__
#define __grid_constant__
#define __shared__ static
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define threadIdx (::emulation::thread)
#define blockIdx (::emulation::block)
#define gridDim (::emulation::grid)
#define blockDim (::emulation::block_size)
#define FATWOOD_PATCH unsigned* const patch = ::emulation::dynamic_shared

struct float2 {
  float x, y;
};
struct double2 {
  double x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) ushort4 {
  unsigned short x, y, z, w;
};

inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline double2 make_double2(double x, double y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z,
                            unsigned short w) {
  return {x, y, z, w};
}

inline void __syncthreads() {
  emulation::wait_for_block();
}
inline void __threadfence() {}
inline unsigned atomicAdd(unsigned* at, unsigned value) {
  const unsigned was = *at;
  *at += value;
  return was;
}
inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline float __fdividef(float a, float b) {
  return a / b;
}

/// The tensor cores' product as the PTX manual lays it out over a warp; they read 19 bits of an
/// input.
inline void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  static unsigned all_a[32][32][4], all_b[32][32][2];  // by warp and lane
  const unsigned warp = emulation::thread.x / 32, lane = emulation::thread.x % 32;
  std::memcpy(all_a[warp][lane], a, sizeof a);
  all_b[warp][lane][0] = b0;
  all_b[warp][lane][1] = b1;
  emulation::wait_for_warp();
  const auto value = [](unsigned bits) { return std::bit_cast<float>(bits & 0xffffe000U); };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
    for (unsigned k = 0; k < 8; ++k) {
      d[i] += value(all_a[warp][row % 8 * 4 + k % 4][row / 8 + 2 * (k / 4)]) *
              value(all_b[warp][column * 4 + k % 4][k / 4]);
    }
  }
  emulation::wait_for_warp();
}
