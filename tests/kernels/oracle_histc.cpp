#include <cmath>

#include <fatwood/kernels/moments.h>
#include <fatwood/model/libtorch.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using HistcOracle = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(HistcOracle);

void expect_equal_counts(const at::Tensor& x, Isa isa) {
  const at::Tensor wanted = torch::histc(x.abs(), 40, 0, 10).to(torch::kInt64);
  std::vector<std::int64_t> counts(kHistogramBins);
  absolute_histogram({x.data_ptr<float>(), static_cast<std::size_t>(x.numel())}, kHistogramTop,
                     counts, threads(2), isa);
  const std::vector<std::int64_t> theirs(wanted.data_ptr<std::int64_t>(),
                                         wanted.data_ptr<std::int64_t>() + 40);
  EXPECT_EQ(counts, theirs);
}

TEST_P(HistcOracle, counts_equal_torchs_on_activations) {
  torch::manual_seed(2);
  for (double scale : {0.1, 1.0, 5.0, 30.0})
    expect_equal_counts(torch::randn(300001) * scale, isa());
}

TEST_P(HistcOracle, counts_equal_torchs_on_and_beside_every_edge) {
  std::vector<float> x;
  for (int edge = 0; edge <= 40; ++edge) {
    const float at = static_cast<float>(edge) / 4;
    for (float v : {at, std::nextafter(at, 0.0F), std::nextafter(at, 20.0F)}) {
      x.insert(x.end(), {v, -v});
    }
  }
  expect_equal_counts(torch::tensor(x), isa());
}

}  // namespace
}  // namespace fatwood::kernels
