// libFuzzer target: parse_idx. The first byte chooses the number of dimensions.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <fatwood/core/error.h>
#include <fatwood/data/idx.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const int dimensions = 1 + data[0] % 4;
  try {
    const fatwood::IdxArray array =
        fatwood::parse_idx(fatwood::Bytes(data + 1, data + size), "fuzz", dimensions);
    std::size_t product = 1;
    for (const std::uint32_t length : array.shape) product *= length;
    if (array.shape.size() != static_cast<std::size_t>(dimensions)) std::abort();
    if (product == 0 || product != array.values.size()) std::abort();
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  return 0;
}
