// AdamW and SGD over flat arrays; formulas in adamw.h.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// The last values of an array, fewer than a vector, beside a kernel that works on whole vectors.
struct Tail {
  alignas(64) float values[kLanes] = {};

  explicit Tail(const float* from, std::int64_t n) {
    __builtin_memcpy(values, from, sizeof(float) * static_cast<std::size_t>(n));
  }
  void write(float* to, std::int64_t n) const {
    __builtin_memcpy(to, values, sizeof(float) * static_cast<std::size_t>(n));
  }
};

FATWOOD_INLINE void adamw_vector(const AdamWCoefficients& c, float* param, const float* grad,
                                 float* mean, float* square) {
  const Vec g = load_unaligned(grad);
  Vec m = load_unaligned(mean);
  m += c.one_minus_b1 * (g - m);
  const Vec v = load_unaligned(square) * c.beta2 + (g * g) * c.one_minus_b2;
  const Vec p = load_unaligned(param) * c.keep;
  store_unaligned(mean, m);
  store_unaligned(square, v);
  store_unaligned(param, p - c.step_size * (m / (square_root(v) / c.root_bc2 + c.eps)));
}

void adamw_flat(const AdamWCoefficients& c, float* param, const float* grad, float* mean,
                float* square, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    adamw_vector(c, param + i, grad + i, mean + i, square + i);
  }
  if (const std::int64_t left = n - i) {
    Tail p(param + i, left);
    const Tail g(grad + i, left);
    Tail m(mean + i, left);
    Tail v(square + i, left);
    adamw_vector(c, p.values, g.values, m.values, v.values);
    p.write(param + i, left);
    m.write(mean + i, left);
    v.write(square + i, left);
  }
}

FATWOOD_INLINE void sgd_vector(const SgdCoefficients& c, float* param, const float* grad,
                               float* momentum) {
  const Vec p = load_unaligned(param);
  Vec g = load_unaligned(grad) + c.weight_decay * p;
  if (momentum) {
    const Vec b = c.first ? g : c.momentum * load_unaligned(momentum) + c.one_minus_dampening * g;
    store_unaligned(momentum, b);
    g = c.nesterov ? g + c.momentum * b : b;
  }
  store_unaligned(param, p - c.lr * g);
}

void sgd_flat(const SgdCoefficients& c, float* param, const float* grad, float* momentum,
              std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    sgd_vector(c, param + i, grad + i, momentum ? momentum + i : nullptr);
  }
  if (const std::int64_t left = n - i) {
    Tail p(param + i, left);
    const Tail g(grad + i, left);
    Tail b(momentum ? momentum + i : grad + i, left);
    sgd_vector(c, p.values, g.values, momentum ? b.values : nullptr);
    p.write(param + i, left);
    if (momentum) b.write(momentum + i, left);
  }
}

}  // namespace
}  // namespace fatwood::kernels
