#include <cmath>
#include <cstdio>

#include <fatwood/core/text.h>

namespace fatwood {
namespace {

// Bytes of the UTF-8 character that `text` begins with; 0 when it begins with none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

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

std::string one_line(std::string_view text, std::size_t longest) {
  constexpr char kHex[] = "0123456789abcdef";
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  std::string line;
  while (!text.empty() && line.size() < longest) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    if (character == "\n" || character == "\r") {
      line += ' ';
    } else if (length == 0 || is_control(character)) {
      for (const char c : character) {
        const auto byte = static_cast<unsigned char>(c);
        line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      }
    } else {
      line += character;
    }
    text.remove_prefix(character.size());
  }
  return text.empty() ? line : line + "…";
}

}  // namespace fatwood
