// Curves for plots: smoothing, and thinning that keeps the peaks.
#pragma once

#include <cstddef>
#include <vector>

namespace fatwood {

struct Curve {
  std::vector<double> x;  ///< ascending
  std::vector<double> y;  ///< as many as x; may hold numbers that are not finite

  std::size_t size() const { return x.size(); }
  void add(double x_value, double y_value) {
    x.push_back(x_value);
    y.push_back(y_value);
  }
};

/// At most `most` points (at least 4): each of most/2 equal stretches keeps its smallest and its
/// largest value, in order, and one that is not finite if there is one, so that no peak and no NaN
/// is hidden. The first and the last point stay.
Curve thinned(const Curve& curve, std::size_t most);

/// Mean of the exponential moving averages from the left and from the right, `share` of the past,
/// bias-corrected: unlike one of them it does not lag. A value that is not finite is passed through
/// and leaves the averages alone.
Curve smoothed(const Curve& curve, double share);

/// `value` to `digits` significant digits: short in JSON.
double rounded(double value, int digits = 4);

}  // namespace fatwood
