#include <cmath>
#include <limits>

#include <fatwood/core/error.h>
#include <fatwood/kernels/moments.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using MomentsOn = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(MomentsOn);

struct ExactMoments {
  double mean;
  double std;
};

ExactMoments exact_moments(const std::vector<float>& x) {
  long double sum = 0;
  for (float v : x) sum += v;
  const long double mean = sum / x.size();
  long double m2 = 0;
  for (float v : x) m2 += (v - mean) * (v - mean);
  return {static_cast<double>(mean), static_cast<double>(std::sqrt(m2 / (x.size() - 1)))};
}

TEST_P(MomentsOn, agree_with_two_exact_passes_at_every_length) {
  for (std::size_t n : {2, 3, 15, 16, 17, 63, 64, 65, 4095, 4096, 4097, 50000}) {
    const auto x = normal(n, static_cast<unsigned>(n), 0.3F, 2);
    const Moments found = moments(x, threads(3), isa());
    EXPECT_EQ(found.count, static_cast<std::int64_t>(n));
    EXPECT_NEAR(found.mean, exact_moments(x).mean, 1e-6);
    EXPECT_NEAR(found.std(), exact_moments(x).std, 1e-6 * exact_moments(x).std);
  }
}

TEST_P(MomentsOn, a_mean_far_from_zero_costs_no_digits) {
  const auto x = normal(100000, 5, 4096, 0.01F);
  EXPECT_NEAR(moments(x, {}, isa()).std() / exact_moments(x).std, 1, 1e-5);
}

TEST_P(MomentsOn, one_value_has_no_deviation_and_constants_have_none_to_show) {
  EXPECT_TRUE(std::isnan(moments(std::vector<float>{3}, {}, isa()).std()));
  EXPECT_EQ(moments(std::vector<float>(1000, 0.1F), {}, isa()).std(), 0);
}

TEST_P(MomentsOn, a_nan_shows) {
  auto x = normal(100, 1);
  x[50] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(moments(x, {}, isa()).mean));
}

TEST_P(MomentsOn, histogram_puts_the_top_into_the_last_bin_and_drops_what_lies_above) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> x = {0, -0.0F, 0.24F, 0.25F, -0.25F, 9.99F, 10, -10, 10.001F, nan, INFINITY};
  for (int copies = 0; copies < 3; ++copies) x.insert(x.end(), x.begin(), x.begin() + 11);
  std::vector<std::int64_t> counts(kHistogramBins);
  absolute_histogram(x, kHistogramTop, counts, {}, isa());
  std::vector<std::int64_t> wanted(kHistogramBins);
  wanted[0] = 3 * 4;
  wanted[1] = 2 * 4;
  wanted[39] = 3 * 4;
  EXPECT_EQ(counts, wanted);
}

TEST_P(MomentsOn, both_at_once_is_both) {
  const auto x = normal(12345, 9, 1, 4);
  std::vector<std::int64_t> together(kHistogramBins);
  std::vector<std::int64_t> alone(kHistogramBins);
  const Moments both = moments_and_histogram(x, together, threads(2), isa());
  absolute_histogram(x, kHistogramTop, alone, {}, isa());
  EXPECT_EQ(together, alone);
  EXPECT_EQ(both.mean, moments(x, threads(2), isa()).mean);
}

TEST(Moments, too_many_bins_are_refused) {
  std::vector<std::int64_t> counts(1025);
  EXPECT_THROW(absolute_histogram({}, 10, counts), Error);
}

}  // namespace
}  // namespace fatwood::kernels
