// The JSON header of a safetensors file: text → checked entries. Apart from safetensors.h because
// the rules of the format are all here and the file handling is all there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/io/safetensors.h>

namespace fatwood {

/// One tensor of a header; [begin, end) is its place in the data that follow the header.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of the text
  Metadata metadata;
};

/// Bytes that a tensor takes. Throws Error{data} with `what` in front when that exceeds 2^63 - 1.
std::uint64_t tensor_bytes(DType dtype, const std::vector<std::int64_t>& shape,
                           std::string_view what);

/// Parses and checks a header whose data are `data_bytes` long; `name` stands for the file in
/// messages. Throws Error{data}.
SafetensorsHeader parse_safetensors_header(ByteView text, std::uint64_t data_bytes,
                                           std::string_view name, const SafetensorsLimits& limits);

}  // namespace fatwood
