// libFuzzer target: gunzip, with a limit small enough to be met.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <fatwood/core/error.h>
#include <fatwood/io/gzip.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kLimit = 1 << 16;
  try {
    if (fatwood::gunzip({data, size}, "fuzz", kLimit).size() > kLimit) std::abort();
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  return 0;
}
