// Base64 (RFC 4648, with padding): pixels in predictions.json, images in reports.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fatwood {

std::string base64(const std::vector<std::uint8_t>& bytes);

/// Nothing when `text` is not base64.
std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text);

}  // namespace fatwood
