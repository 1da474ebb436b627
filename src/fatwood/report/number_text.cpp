#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

#include <fatwood/report/number_text.h>

namespace fatwood {

std::string decimal(double value, int decimals) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  // The largest double has 309 digits before the point.
  std::array<char, 384> buffer;
  decimals = std::clamp(decimals, 0, 60);
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                    std::chars_format::fixed, decimals);
  std::string text(buffer.data(), result.ptr);
  const bool zero = text.find_first_of("123456789") == std::string::npos;
  return zero && text.front() == '-' ? text.substr(1) : text;
}

std::string clock_text(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  const auto total = static_cast<std::int64_t>(std::clamp(seconds, 0.0, 3.2e9));
  const auto two_digits = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  const std::string minutes_seconds = two_digits(total / 60 % 60) + ":" + two_digits(total % 60);
  const std::int64_t hours = total / 3600;
  return hours > 0 ? std::to_string(hours) + ":" + minutes_seconds : minutes_seconds;
}

}  // namespace fatwood
