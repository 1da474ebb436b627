#include <atomic>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <new>

#include <fatwood/core/allocator.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace fatwood {
namespace {

constexpr std::size_t kReserveBytes = 1 << 20;
std::atomic<void*> reserve{nullptr};
std::atomic<bool> reserving{false};

[[noreturn]] void give_reserve_back() {
  std::free(reserve.exchange(nullptr));
  throw std::bad_alloc();
}

}  // namespace

void reserve_memory_for_errors() {
  reserving = true;
  renew_reserve();
  std::set_new_handler(give_reserve_back);
}

void renew_reserve() {
  if (!reserving || reserve != nullptr) return;
  void* block = std::malloc(kReserveBytes);
  void* none = nullptr;
  if (!reserve.compare_exchange_strong(none, block)) std::free(block);
}

void keep_freed_memory() {
#ifdef __GLIBC__
  static const bool done = [] {
    for (const char* name :
         {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}) {
      if (std::getenv(name)) return false;
    }
    constexpr int kGibibyte = 1 << 30;
    constexpr int kMostOfOlderLibraries = 32 << 20;
    if (mallopt(M_MMAP_THRESHOLD, kGibibyte) == 0) mallopt(M_MMAP_THRESHOLD, kMostOfOlderLibraries);
    mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
    mallopt(M_TOP_PAD, 64 << 20);
    return true;
  }();
  static_cast<void>(done);
#endif
}

}  // namespace fatwood
