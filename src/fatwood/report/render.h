// A Vega-Lite document as SVG or PNG, by Python's vl-convert in the project's environment.
#pragma once

#include <string>

namespace fatwood {

enum class ImageFormat { svg, png };

/// The picture's bytes. The Python is that of FATWOOD_PYTHON, else of the environment that
/// ./fatwood made, else of VIRTUAL_ENV, else `python3` in PATH. Throws Error{io} when none of them
/// has vl-convert, or when it refuses the document.
std::string render(const std::string& spec_json, ImageFormat format);

}  // namespace fatwood
