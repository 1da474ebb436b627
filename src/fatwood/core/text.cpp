#include <cmath>
#include <cstdio>

#include <fatwood/core/text.h>

namespace fatwood {

std::string with_commas(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string fixed(double value, int decimals) {
  if (std::isnan(value)) return "nan";  // never "-nan"
  char text[64];
  const int length = std::snprintf(text, sizeof text, "%.*f", decimals, value);
  if (length >= 0 && static_cast<std::size_t>(length) < sizeof text) return text;
  std::string longer(static_cast<std::size_t>(length) + 1, '\0');
  std::snprintf(longer.data(), longer.size(), "%.*f", decimals, value);
  longer.pop_back();
  return longer;
}

}  // namespace fatwood
