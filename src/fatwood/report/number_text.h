// Numbers as reports show them, whatever the locale; beside those of core/text.h.
#pragma once

#include <string>

namespace fatwood {

/// Four significant digits, as short as they go: "0.01", "4e-08", "12.34".
std::string short_number(double value);

/// Seconds as fastprogress shows them: "00:06", "1:02:03" from an hour on. Rounds down.
std::string clock_text(double seconds);

}  // namespace fatwood
