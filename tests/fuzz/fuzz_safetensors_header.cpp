// libFuzzer target: parse_safetensors_header. The first two bytes are the length of the data, so
// that the fuzzer need not keep a length field and a file in step.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <fatwood/core/error.h>
#include <fatwood/io/safetensors_header.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint64_t data_bytes = data[0] | std::uint64_t{data[1]} << 8;
  try {
    const fatwood::SafetensorsHeader header =
        fatwood::parse_safetensors_header({data + 2, size - 2}, data_bytes, "fuzz", {});
    for (const fatwood::SafetensorsEntry& entry : header.entries) {
      if (entry.begin > entry.end || entry.end > data_bytes) std::abort();
      if (fatwood::tensor_bytes(entry.dtype, entry.shape, "fuzz") != entry.end - entry.begin) {
        std::abort();
      }
    }
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  return 0;
}
