// Statistics of a float tensor in one pass over memory: what the activation statistics show for a
// layer at a step. Sums are taken in short runs shifted by their first value and merged in double,
// so that a mean far from zero costs no digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/parallel.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {

struct Moments {
  std::int64_t count = 0;
  double mean = 0;
  double m2 = 0;  ///< Σ(x - mean)²

  /// Unbiased: NaN for fewer than two values, as torch.std.
  double std() const;
  /// NaN for no value.
  double biased_variance() const { return m2 / static_cast<double>(count); }

  /// Merges two disjoint sets of values.  Source: Chan, Golub, LeVeque, "Updating formulae and a
  /// pairwise algorithm for computing sample variances".
  void add(const PartialMoments& other);
};

/// Of all values of x; count 0, mean 0 and m2 0 for none.
Moments moments(std::span<const float> x, const ParallelFor& parallel = {},
                Isa isa = default_isa());

/// The histogram that the activation statistics keep: 40 bins over [0, 10].
inline constexpr int kHistogramBins = 40;
inline constexpr float kHistogramTop = 10.0F;

/// Throws Error{internal} for more than 1024, which is what the kernels have room for.
void check_histogram_bins(std::size_t bins);

/// Writes to counts exactly what torch.histc(x.abs(), counts.size(), 0, top) returns: larger values
/// and NaN are dropped, `top` itself falls into the last bin. Throws Error{internal} for more than
/// 1024 bins.
void absolute_histogram(std::span<const float> x, float top, std::span<std::int64_t> counts,
                        const ParallelFor& parallel = {}, Isa isa = default_isa());

/// Both, reading x from memory once, the histogram over [0, kHistogramTop]. counts: kHistogramBins
/// of them; throws Error{internal} for more than 1024.
Moments moments_and_histogram(std::span<const float> x, std::span<std::int64_t> counts,
                              const ParallelFor& parallel = {}, Isa isa = default_isa());

}  // namespace fatwood::kernels
