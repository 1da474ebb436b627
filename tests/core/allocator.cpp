#include <cstdint>
#include <limits>
#include <new>
#include <sys/resource.h>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/core/allocator.h>

namespace fatwood {
namespace {

// Takes all memory there is in blocks of `bytes`, then says how many more there are once operator
// new has failed.
int blocks_left_after_failure(std::size_t bytes) {
  std::vector<void*> taken;
  taken.reserve(1 << 20);
  bool failed = false;
  while (!failed && taken.size() < taken.capacity()) {
    try {
      taken.push_back(::operator new(bytes));
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  }
  int left = 0;
  while (failed && left < 1000) {
    void* block = ::operator new(bytes, std::nothrow);
    if (!block) break;
    taken.push_back(block);
    ++left;
  }
  for (void* block : taken) ::operator delete(block);
  return failed ? left : -1;
}

void limited(void (*reserve)(), bool wanted) {
  const rlimit limit{512 << 20, 512 << 20};
  setrlimit(RLIMIT_AS, &limit);
  reserve();
  const int left = blocks_left_after_failure(16 << 10);
  std::_Exit(left >= 0 && (left >= 16) == wanted ? 0 : 1);
}

TEST(ReserveMemory, leaves_room_for_what_handles_the_failure) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers reserve terabytes of addresses";
#endif
  EXPECT_EXIT(limited(reserve_memory_for_errors, true), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(limited(renew_reserve, false), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace fatwood
