#include <cstdlib>
#include <initializer_list>
#include <limits>

#include <fatwood/core/allocator.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace fatwood {

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
