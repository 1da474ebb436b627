// CUDA C++ compiled and launched while the program runs. Private to cuda.
#pragma once

#include <array>
#include <cstdint>

namespace fatwood::cuda {

/// What every device that multiplies TF32 has for a block.
constexpr int kMostSharedBytes = 96 << 10;

/// Blocks of a launch.
struct Grid {
  std::int64_t x = 1, y = 1, z = 1;
};

/// Launches a kernel of the folder's .cu files on the current device and stream; each argument by
/// its address, `shared_bytes` of memory for each block beside what the kernel declares:
/// kMostSharedBytes at most for a convolution, and 48 KiB in all for another. The first call
/// compiles the kernels. Throws Error{internal} with the compiler's words, or the driver's.
void launch(const char* kernel, Grid grid, std::int64_t threads, void** arguments,
            std::int64_t shared_bytes = 0);

/// How many multiprocessors the current device has. Throws Error{internal}.
std::int64_t multiprocessors();

/// Whether the current device's tensor cores multiply TF32. Throws Error{internal}.
bool multiplies_tf32();

/// The addresses of a kernel's arguments, whose types must be the kernel's own.
template <class... Arguments>
std::array<void*, sizeof...(Arguments)> addresses_of(Arguments&... arguments) {
  return {static_cast<void*>(&arguments)...};
}

}  // namespace fatwood::cuda
