#include <algorithm>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/report/curve.h>

namespace fatwood {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

Curve wave(std::size_t n) {
  Curve curve;
  for (std::size_t i = 0; i < n; ++i)
    curve.add(static_cast<double>(i), std::sin(static_cast<double>(i) / 50));
  return curve;
}

TEST(Curve, a_short_curve_is_not_thinned) {
  EXPECT_EQ(thinned(wave(600), 600).y, wave(600).y);
}

TEST(Curve, thinning_keeps_ends_and_every_peak) {
  for (const std::size_t n : {601u, 1000u, 10007u}) {
    for (const std::size_t at : {std::size_t{1}, n / 3, n - 2}) {
      Curve curve = wave(n);
      curve.y[at] = 99;
      curve.y[n / 2] = -99;
      const Curve thin = thinned(curve, 600);
      EXPECT_LE(thin.size(), 600u);
      EXPECT_GT(thin.size(), 500u);
      EXPECT_THAT(thin.y, ::testing::Contains(99));
      EXPECT_THAT(thin.y, ::testing::Contains(-99));
      EXPECT_EQ(thin.x.front(), 0);
      EXPECT_EQ(thin.x.back(), static_cast<double>(n - 1));
      EXPECT_TRUE(std::is_sorted(thin.x.begin(), thin.x.end()));
    }
  }
}

TEST(Curve, thinning_does_not_hide_a_nan) {
  Curve curve = wave(5000);
  curve.y[1234] = kNan;
  const Curve thin = thinned(curve, 600);
  EXPECT_EQ(std::count_if(thin.y.begin(), thin.y.end(), [](double y) { return std::isnan(y); }), 1);
}

TEST(Curve, smoothing_keeps_a_constant_and_does_not_lag_behind_a_slope) {
  Curve flat;
  Curve slope;
  for (int i = 0; i < 200; ++i) {
    flat.add(i, 3);
    slope.add(i, i);
  }
  for (const double y : smoothed(flat, 0.9).y) EXPECT_NEAR(y, 3, 1e-12);
  EXPECT_NEAR(smoothed(slope, 0.9).y[100], 100, 0.01);
}

TEST(Curve, smoothing_passes_nan_through_and_goes_on_after_it) {
  Curve curve;
  for (int i = 0; i < 10; ++i) curve.add(i, i == 4 ? kNan : 2);
  const Curve smooth = smoothed(curve, 0.9);
  EXPECT_TRUE(std::isnan(smooth.y[4]));
  EXPECT_NEAR(smooth.y[3], 2, 1e-12);
  EXPECT_NEAR(smooth.y[9], 2, 1e-12);
}

TEST(Curve, rounded_keeps_significant_digits) {
  EXPECT_EQ(rounded(0.47812345), 0.4781);
  EXPECT_EQ(rounded(123456), 123500);
  EXPECT_EQ(rounded(-4.00004e-8), -4e-8);
  EXPECT_EQ(rounded(0), 0);
  EXPECT_TRUE(std::isnan(rounded(kNan)));
}

}  // namespace
}  // namespace fatwood
