// What each instruction set provides, as a table of functions. The tables are built in targets/,
// one file per instruction set, all from the same templates in simd/; the public headers beside
// this one choose a table and split work over threads.
#pragma once

#include <cstdint>

#include <fatwood/kernels/isa.h>

namespace fatwood::kernels {

/// Mean and Σ(x - mean)² of one run of values.
struct PartialMoments {
  std::int64_t count = 0;
  double mean = 0;
  double m2 = 0;
};

struct AdamWCoefficients {
  float keep;          ///< 1 - lr·decay
  float one_minus_b1;  ///< 1 - beta1
  float beta2;
  float one_minus_b2;
  float step_size;  ///< lr / (1 - beta1^t)
  float root_bc2;   ///< √(1 - beta2^t)
  float eps;
};

struct SgdCoefficients {
  float lr, momentum, one_minus_dampening, weight_decay;
  bool nesterov, first;
};

struct KernelTable {
  PartialMoments (*moments)(const float* x, std::int64_t n);
  /// Adds the counts of |x| in `bins` equal bins over [0, top] to counts.
  void (*histogram)(const float* x, std::int64_t n, int bins, float top, std::int64_t* counts);
  void (*adamw)(const AdamWCoefficients& c, float* param, const float* grad, float* mean,
                float* square, std::int64_t n);
  void (*sgd)(const SgdCoefficients& c, float* param, const float* grad, float* momentum,
              std::int64_t n);
  /// out[i] = in[i]·scale + shift
  void (*scale_bytes)(const std::uint8_t* in, std::int64_t n, float scale, float shift, float* out);
  /// One group of lanes_of(isa) images, `images` of them present: plane after plane of `size`
  /// pixels, out[p·lanes + i] = image i's pixel p, scaled; absent images become zero.
  void (*interleave_bytes)(const std::uint8_t* const* images, int count, std::int64_t size,
                           float scale, float shift, float* out);
};

const KernelTable& table_for(Isa isa);

}  // namespace fatwood::kernels
