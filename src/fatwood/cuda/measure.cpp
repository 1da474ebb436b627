#include <algorithm>

#include <torch/types.h>

#include <fatwood/cuda/cuda.h>
#include <fatwood/cuda/device.h>
#include <fatwood/cuda/program.h>

namespace fatwood::cuda {
namespace {

constexpr std::int64_t kBins = 40, kThreads = 256, kMomentBlocks = 512;  // as in kernels.cu

}  // namespace

StatisticsScratch::StatisticsScratch()
    : partials(torch::empty({2 * kMomentBlocks}, torch::dtype(torch::kDouble).device(kDevice))),
      counters(torch::zeros({kBins + 1}, torch::dtype(torch::kInt).device(kDevice))) {}

bool measurable(const Tensor& x) {
  return on_device(x) && x.numel() > 0 && x.is_non_overlapping_and_dense() &&
         (x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kBFloat16);
}

void measure(const Tensor& x, bool hist, StatisticsScratch& scratch, const Tensor& out) {
  const void* values = x.const_data_ptr();
  std::int64_t n = x.numel();
  void* partials = scratch.partials.data_ptr();
  std::int32_t* counts = scratch.counters.data_ptr<std::int32_t>();
  std::int32_t* done = counts + kBins;
  void* result = out.data_ptr();
  auto arguments = addresses_of(values, n, hist, partials, counts, done, result);
  const std::int64_t blocks =
      std::clamp<std::int64_t>((n + 4 * kThreads - 1) / (4 * kThreads), 1, kMomentBlocks);
  launch(x.scalar_type() == torch::kFloat ? "moments_f32" : "moments_bf16", {.x = blocks}, kThreads,
         arguments.data());
}

}  // namespace fatwood::cuda
