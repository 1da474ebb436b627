// `--input CxHxW` of the commands that need no data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fatwood::cli {

/// "1x28x28" → {1, 28, 28}. Throws Error{usage} in the name of `command`.
std::vector<std::int64_t> parse_input_shape(const std::string& text, const char* command);

}  // namespace fatwood::cli
