#include <fatwood/cuda/cuda.h>
#include <fatwood/kernels/moments.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/tap.h>
#include <fatwood/model/threads.h>

namespace fatwood {

ActivationStatistics statistics_of(const double* measured, bool hist) {
  ActivationStatistics statistics{.mean = measured[0], .std = measured[1], .hist = {}};
  if (!hist) return statistics;
  for (int bin = 0; bin < kernels::kHistogramBins; ++bin)
    statistics.hist.push_back(static_cast<std::int64_t>(measured[2 + bin]));
  return statistics;
}

ActivationStatistics measure_activation(const Tensor& x, bool hist) {
  const torch::NoGradGuard no_grad;
  if (cuda::built() && cuda::measurable(x)) {
    cuda::StatisticsScratch scratch;
    const Tensor measured = torch::empty({cuda::kStatistics}, x.options().dtype(torch::kDouble));
    cuda::measure(x, hist, scratch, measured);
    return statistics_of(measured.to(torch::kCPU).const_data_ptr<double>(), hist);
  }
  // Any dense order of the elements will do, so a channels-last tensor is read as it lies.
  Tensor dense = x.to(torch::kCPU, torch::kFloat);
  if (!dense.is_non_overlapping_and_dense()) dense = dense.contiguous();
  const std::span<const float> values(dense.const_data_ptr<float>(),
                                      static_cast<std::size_t>(dense.numel()));
  ActivationStatistics statistics;
  kernels::Moments moments;
  if (hist) {
    statistics.hist.resize(kernels::kHistogramBins);
    moments = kernels::moments_and_histogram(values, statistics.hist, torch_threads());
  } else {
    moments = kernels::moments(values, torch_threads());
  }
  statistics.mean = moments.mean;
  statistics.std = moments.std();
  return statistics;
}

}  // namespace fatwood
