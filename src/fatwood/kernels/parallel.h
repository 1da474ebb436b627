// How kernels use threads: they own none. The caller passes a ParallelFor, the engine's being
// LibTorch's OpenMP pool. Work is cut into as many parts as there are threads, by position alone,
// so that results at one thread count have the same bits whichever worker runs which part.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace fatwood::kernels {

/// A reference to a thread pool: cheap to copy, owns nothing. Tasks must not throw.
class ParallelFor {
 public:
  using Task = void (*)(void* context, std::int64_t task);
  /// Calls task(context, i) once for every i in [0, tasks), in any order and on any thread, and
  /// returns when all have ended.
  using Run = void (*)(void* pool, std::int64_t tasks, Task task, void* context);

  /// One thread: the caller's.
  ParallelFor() = default;
  ParallelFor(int threads, Run run, void* pool = nullptr)
      : threads_(threads < 1 ? 1 : threads), run_(run), pool_(pool) {}

  int threads() const { return threads_; }

  template <class Function>
  void for_each(std::int64_t tasks, Function&& function) const {
    if (threads_ == 1 || tasks <= 1) {
      for (std::int64_t i = 0; i < tasks; ++i) function(i);
      return;
    }
    using Callable = std::remove_reference_t<Function>;
    auto call = [](void* context, std::int64_t task) { (*static_cast<Callable*>(context))(task); };
    run_(pool_, tasks, call, const_cast<void*>(static_cast<const void*>(std::addressof(function))));
  }

  /// Cuts [0, n) into threads() consecutive parts whose sizes differ by `grain` at most, their
  /// borders multiples of `grain`: function(part, begin, end). Empty parts are left out.
  template <class Function>
  void for_each_part(std::int64_t n, std::int64_t grain, Function&& function) const {
    for_each(threads_, [&](std::int64_t part) {
      const auto [begin, end] = part_of(part, threads_, n, grain);
      if (begin < end) function(static_cast<int>(part), begin, end);
    });
  }

  static std::pair<std::int64_t, std::int64_t> part_of(std::int64_t part, std::int64_t parts,
                                                       std::int64_t n, std::int64_t grain) {
    const std::int64_t units = (n + grain - 1) / grain;
    const auto border = [&](std::int64_t p) {
      const std::int64_t at = units * p / parts * grain;
      return at < n ? at : n;
    };
    return {border(part), border(part + 1)};
  }

 private:
  int threads_ = 1;
  Run run_ = nullptr;
  void* pool_ = nullptr;
};

}  // namespace fatwood::kernels
