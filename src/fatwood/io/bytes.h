// Bytes as the readers and writers pass them around, and text from outside made fit for a message.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fatwood {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// `text` in double quotes, on one line: control characters, quotes, backslashes and bytes outside
/// ASCII are written as \xNN, and what lies beyond 60 characters as "…". For names that a file
/// brought.
std::string printable(std::string_view text);

/// "1 image", "0 images", "2 labels".
std::string counted(std::uint64_t count, std::string_view singular);

}  // namespace fatwood
