// Small formatting helpers, since g++ 12 has no <format>.
#pragma once

#include <cstdint>
#include <string>

namespace fatwood {

/// 1184 → "1,184"
std::string with_commas(std::int64_t value);

/// 0.12345 → "0.123" for 3 decimals.
std::string fixed(double value, int decimals);

}  // namespace fatwood
