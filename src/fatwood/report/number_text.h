// Numbers as reports show them, whatever the locale; beside those of core/text.h.
#pragma once

#include <cstddef>
#include <string>

namespace fatwood {

/// Four significant digits, as short as they go: "0.01", "4e-08", "12.34".
std::string short_number(double value);

/// As many of these digits as fit into `columns`, six or more: "12.34", "1.23e4", "-1.2e4". What no
/// digit is left for is 0.
std::string narrow_number(double value, std::size_t columns);

/// Seconds as fastprogress shows them: "00:06", "1:02:03" from an hour on. Rounds down.
std::string clock_text(double seconds);

}  // namespace fatwood
