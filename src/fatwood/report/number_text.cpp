#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fatwood/core/text.h>
#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

constexpr int kMostDigits = 4;

std::string in_digits(double value, std::chars_format format, int digits) {
  // In scientific form the digit in front of the point is not counted.
  const int precision = format == std::chars_format::scientific ? digits - 1 : digits;
  std::array<char, 32> buffer;
  const auto result =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, precision);
  return {buffer.data(), result.ptr};
}

// "1.2e+04" → "1.2e4"
std::string with_short_exponent(const std::string& text) {
  const std::size_t e = text.find('e');
  if (e == std::string::npos) return text;
  const std::size_t digit = text.find_first_not_of("+-0", e + 1);
  if (digit == std::string::npos) return text.substr(0, e);
  return text.substr(0, e) + (text[e + 1] == '-' ? "e-" : "e") + text.substr(digit);
}

}  // namespace

std::string short_number(double value) {
  if (!std::isfinite(value)) return fixed(value, 0);
  return in_digits(value, std::chars_format::general, kMostDigits);
}

std::string narrow_number(double value, std::size_t columns) {
  if (!std::isfinite(value)) return short_number(value);
  for (int digits = kMostDigits; digits > 0; --digits) {
    for (const std::chars_format format :
         {std::chars_format::general, std::chars_format::scientific}) {
      std::string text = with_short_exponent(in_digits(value, format, digits));
      if (text.size() <= columns) return text;
    }
  }
  return value < 0 ? "-0" : "0";
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
