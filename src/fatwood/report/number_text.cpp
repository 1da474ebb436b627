#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fatwood/core/text.h>
#include <fatwood/report/number_text.h>

namespace fatwood {

std::string short_number(double value) {
  if (!std::isfinite(value)) return fixed(value, 0);
  std::array<char, 32> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                    std::chars_format::general, 4);
  return {buffer.data(), result.ptr};
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
