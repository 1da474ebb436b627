#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fatwood/report/curve.h>

namespace fatwood {

Curve thinned(const Curve& curve, std::size_t most) {
  const std::size_t n = curve.size();
  most = std::max<std::size_t>(most, 4);
  if (n <= most) return curve;

  std::vector<std::size_t> kept = {0};
  const std::size_t stretches = (most - 2) / 2;
  for (std::size_t i = 0; i < stretches; ++i) {
    // The ends are kept anyway, so the stretches share what is between them.
    const std::size_t begin = 1 + i * (n - 2) / stretches;
    const std::size_t end = 1 + (i + 1) * (n - 2) / stretches;
    std::size_t low = begin;
    std::size_t high = begin;
    for (std::size_t k = begin; k < end; ++k) {
      if (!std::isfinite(curve.y[k])) {
        low = k;
        break;
      }
      if (curve.y[k] < curve.y[low]) low = k;
      if (curve.y[k] > curve.y[high]) high = k;
    }
    kept.push_back(std::min(low, high));
    if (low != high) kept.push_back(std::max(low, high));
  }
  kept.push_back(n - 1);

  Curve result;
  for (const std::size_t k : kept) result.add(curve.x[k], curve.y[k]);
  return result;
}

Curve smoothed(const Curve& curve, double share) {
  Curve result{curve.x, std::vector<double>(curve.size())};
  const std::size_t n = curve.size();
  for (const bool forwards : {true, false}) {
    double sum = 0;
    double weight = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = forwards ? i : n - 1 - i;
      const double value = curve.y[at];
      if (!std::isfinite(value)) {
        result.y[at] = value;
        continue;
      }
      sum = share * sum + (1 - share) * value;
      weight = share * weight + (1 - share);
      result.y[at] += sum / weight / 2;
    }
  }
  return result;
}

double rounded(double value, int digits) {
  if (!std::isfinite(value) || value == 0) return value;
  std::array<char, 64> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                 std::chars_format::scientific, std::clamp(digits - 1, 0, 16));
  double result = value;
  std::from_chars(text.data(), end.ptr, result);
  return result;
}

}  // namespace fatwood
