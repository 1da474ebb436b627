#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/kernels/moments.h>

namespace fatwood::kernels {
namespace {

// A run that stays in the first-level cache between the two passes over it, and short enough for
// float sums.
constexpr std::int64_t kRun = 4096;
constexpr std::size_t kMostBins = 1024;

struct Part {
  Moments moments;
  std::vector<std::int64_t> counts;
};

Moments one_pass(std::span<const float> x, bool with_moments, float top,
                 std::span<std::int64_t> counts, const ParallelFor& parallel, Isa isa) {
  check_histogram_bins(counts.size());
  const KernelTable& table = table_for(isa);
  std::vector<Part> parts(static_cast<std::size_t>(parallel.threads()));
  for (Part& part : parts) part.counts.resize(counts.size());
  parallel.for_each_part(static_cast<std::int64_t>(x.size()), kRun,
                         [&](int index, std::int64_t begin, std::int64_t end) {
                           Part& part = parts[static_cast<std::size_t>(index)];
                           for (std::int64_t at = begin; at < end; at += kRun) {
                             const std::int64_t n = at + kRun < end ? kRun : end - at;
                             if (with_moments) part.moments.add(table.moments(x.data() + at, n));
                             if (!part.counts.empty()) {
                               table.histogram(x.data() + at, n,
                                               static_cast<int>(part.counts.size()), top,
                                               part.counts.data());
                             }
                           }
                         });
  Moments total;
  for (std::int64_t& count : counts) count = 0;
  for (const Part& part : parts) {
    total.add({part.moments.count, part.moments.mean, part.moments.m2});
    for (std::size_t bin = 0; bin < counts.size(); ++bin) counts[bin] += part.counts[bin];
  }
  return total;
}

}  // namespace

double Moments::std() const {
  if (count < 2) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(m2 / static_cast<double>(count - 1));
}

void check_histogram_bins(std::size_t bins) {
  if (bins <= kMostBins) return;
  throw Error(ErrorKind::internal, "histogram",
              "bins: found " + std::to_string(bins) + ", wanted 1024 at most");
}

void Moments::add(const PartialMoments& other) {
  if (other.count == 0) return;
  const double n = static_cast<double>(count + other.count);
  const double delta = other.mean - mean;
  const double weight = static_cast<double>(other.count) / n;
  m2 += other.m2 + delta * delta * weight * static_cast<double>(count);
  mean += delta * weight;
  count += other.count;
}

Moments moments(std::span<const float> x, const ParallelFor& parallel, Isa isa) {
  return one_pass(x, true, 0, {}, parallel, isa);
}

void absolute_histogram(std::span<const float> x, float top, std::span<std::int64_t> counts,
                        const ParallelFor& parallel, Isa isa) {
  one_pass(x, false, top, counts, parallel, isa);
}

Moments moments_and_histogram(std::span<const float> x, std::span<std::int64_t> counts,
                              const ParallelFor& parallel, Isa isa) {
  return one_pass(x, true, kHistogramTop, counts, parallel, isa);
}

}  // namespace fatwood::kernels
