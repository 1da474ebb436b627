#include <cmath>

#include <fatwood/core/error.h>
#include <fatwood/kernels/adamw.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using OptimisersOn = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(OptimisersOn);

TEST_P(OptimisersOn, adamw_follows_its_formula_at_every_length) {
  for (std::size_t n : {1, 15, 16, 17, 5000}) {
    auto p = normal(n, 1);
    auto m = normal(n, 2, 0, 0.1F);
    auto v = normal(n, 3, 0, 0.1F);
    for (float& x : v) x *= x;
    const auto g = normal(n, 4);
    const auto p0 = p, m0 = m, v0 = v;
    const AdamW o{
        .lr = 0.01, .beta1 = 0.85, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.1, .step = 3};
    adamw(o, p, g, m, v, threads(2), isa());
    for (std::size_t i = 0; i < n; ++i) {
      const double m1 = o.beta1 * m0[i] + (1 - o.beta1) * g[i];
      const double v1 = o.beta2 * v0[i] + (1 - o.beta2) * g[i] * g[i];
      const double step = o.lr / (1 - std::pow(o.beta1, 3)) * m1 /
                          (std::sqrt(v1) / std::sqrt(1 - std::pow(o.beta2, 3)) + o.eps);
      ASSERT_NEAR(m[i], m1, 1e-6);
      ASSERT_NEAR(v[i], v1, 1e-6 * (1 + v1));
      ASSERT_NEAR(p[i], p0[i] * (1 - o.lr * o.weight_decay) - step, 1e-6 * (1 + std::abs(p0[i])));
    }
  }
}

TEST_P(OptimisersOn, threads_change_no_bit) {
  const auto g = normal(20000, 4);
  auto run = [&](const ParallelFor& parallel) {
    auto p = normal(20000, 1);
    std::vector<float> m(20000), v(20000);
    for (int step = 1; step < 4; ++step) adamw({.step = step}, p, g, m, v, parallel, isa());
    return p;
  };
  EXPECT_EQ(run({}), run(threads(3)));
}

TEST(Optimisers, lengths_that_differ_are_refused) {
  std::vector<float> three(3), four(4);
  EXPECT_THROW(adamw({}, three, four, three, three), Error);
  EXPECT_THROW(sgd({.momentum = 0.9}, three, three, four), Error);
}

}  // namespace
}  // namespace fatwood::kernels
