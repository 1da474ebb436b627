// libFuzzer target: Safetensors::parse. What it accepts must be tensors that fill their file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <fatwood/core/error.h>
#include <fatwood/io/safetensors.h>

namespace {

void check(const fatwood::Safetensors& file, std::size_t size, std::uint64_t header_bytes) {
  std::uint64_t total = 0;
  for (const fatwood::TensorView& tensor : file.tensors()) {
    std::uint64_t bytes = fatwood::size_of(tensor.dtype);
    for (const std::int64_t length : tensor.shape) bytes *= static_cast<std::uint64_t>(length);
    if (bytes != tensor.data.size() || file.find(tensor.name) != &tensor) std::abort();
    unsigned sum = 0;  // every byte is read, for the sanitizer to see
    for (const std::uint8_t byte : tensor.data) sum += byte;
    [[maybe_unused]] static volatile unsigned kept;
    kept = sum;
    total += bytes;
  }
  if (total != size - 8 - header_bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto file = fatwood::Safetensors::parse(fatwood::Bytes(data, data + size), "fuzz");
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, data, sizeof header_bytes);
    check(file, size, header_bytes);
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  return 0;
}
