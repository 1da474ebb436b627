// Small pictures of samples as PNG (the data set's pixels, not plots), for reports and plots.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fatwood {

/// An 8-bit grey (`channels` 1) or RGB (3) PNG of planar pixels, channels × height × width.
/// Throws Error{internal} when the sizes do not fit.
std::vector<std::uint8_t> png(int channels, int height, int width,
                              const std::vector<std::uint8_t>& pixels);

/// `data:image/png;base64,…`
std::string png_data_uri(int channels, int height, int width,
                         const std::vector<std::uint8_t>& pixels);

}  // namespace fatwood
