// Files that are part of the program: the page's style and script, the Vega runtime and its
// licences (third_party/vega). Private to report.
#pragma once

#include <string_view>

namespace fatwood::assets {

extern const std::string_view kPageCss;
extern const std::string_view kPageJs;
extern const std::string_view kVegaJs;
extern const std::string_view kVegaLiteJs;
extern const std::string_view kVegaVersion;  ///< "vega 6.4.0\nvega-lite 6.4.3\n"

}  // namespace fatwood::assets
