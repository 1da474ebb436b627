// Numbers as reports show them, whatever the locale.
#pragma once

#include <string>

namespace fatwood {

/// `decimals` digits after the point; "nan", "inf" and "-inf" as such; no negative zero.
std::string decimal(double value, int decimals);

/// Seconds as fastprogress shows them: "00:06", "1:02:03" from an hour on. Rounds down.
std::string clock_text(double seconds);

}  // namespace fatwood
