#include <fatwood/report/assets.h>

// The assembler copies the files in: no generated source, nothing to parse, rebuilt when one of
// them changes (CMakeLists.txt names them as dependencies of this file).
#define FATWOOD_ASSET(symbol, path)                                                    \
  asm(".pushsection .rodata,\"a\",@progbits\n"                                         \
      "fatwood_asset_" #symbol "_begin:\n.incbin \"" path "\"\nfatwood_asset_" #symbol \
      "_end:\n"                                                                        \
      ".byte 0\n.popsection\n");                                                       \
  extern "C" const char fatwood_asset_##symbol##_begin[];                              \
  extern "C" const char fatwood_asset_##symbol##_end[]

FATWOOD_ASSET(page_css, FATWOOD_PAGE_FOLDER "/page.css");
FATWOOD_ASSET(page_js, FATWOOD_PAGE_FOLDER "/page.js");
FATWOOD_ASSET(vega_js, FATWOOD_VEGA_FOLDER "/vega.min.js");
FATWOOD_ASSET(vega_lite_js, FATWOOD_VEGA_FOLDER "/vega-lite.min.js");
FATWOOD_ASSET(vega_version, FATWOOD_VEGA_FOLDER "/VERSION");

namespace fatwood::assets {
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

const std::string_view kPageCss = between(fatwood_asset_page_css_begin, fatwood_asset_page_css_end);
const std::string_view kPageJs = between(fatwood_asset_page_js_begin, fatwood_asset_page_js_end);
const std::string_view kVegaJs = between(fatwood_asset_vega_js_begin, fatwood_asset_vega_js_end);
const std::string_view kVegaLiteJs =
    between(fatwood_asset_vega_lite_js_begin, fatwood_asset_vega_lite_js_end);
const std::string_view kVegaVersion =
    between(fatwood_asset_vega_version_begin, fatwood_asset_vega_version_end);

}  // namespace fatwood::assets
