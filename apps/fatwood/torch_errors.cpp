#include "torch_errors.h"

#include <string_view>
#include <sys/mman.h>
#include <system_error>

#include <c10/util/Exception.h>

#include <fatwood/model/libtorch.h>

namespace fatwood::cli {

std::string without_backtrace(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error))
    return torch_error->what_without_backtrace();
  return error.what();
}

namespace {

// Whether the system refuses what a small step takes.
bool memory_is_gone() {
  constexpr std::size_t kSmall = std::size_t{16} << 20;
  void* const block =
      ::mmap(nullptr, kSmall, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) return true;
  ::munmap(block, kSmall);
  return false;
}

}  // namespace

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    return system->code() == std::errc::resource_unavailable_try_again ||
           system->code() == std::errc::not_enough_memory;
  }
  // The processor's allocator throws LibTorch's general error, oneDNN one that names no reason.
  return std::string_view(error.what()).find("DefaultCPUAllocator: ") != std::string_view::npos ||
         memory_is_gone();
}

}  // namespace fatwood::cli
