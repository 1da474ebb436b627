// Small formatting helpers, since g++ 12 has no <format>.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fatwood {

/// 1184 → "1,184"
std::string with_commas(std::int64_t value);

/// 0.12345 → "0.123" for 3 decimals.
std::string fixed(double value, int decimals);

/// `text` as one line for a terminal: line breaks as blanks, other control characters and bytes
/// that are no UTF-8 as \xNN, and what lies beyond `longest` bytes as "…".
std::string one_line(std::string_view text, std::size_t longest);

}  // namespace fatwood
