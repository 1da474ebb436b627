// Counts multiply–accumulates where they happen: at LibTorch's operators, by observing them.
#pragma once

#include <cstdint>

#include <ATen/record_function.h>

namespace fatwood {

/// While one lives, convolutions and matrix products of this thread are counted. One at a time per
/// thread.
class WorkCounter {
 public:
  WorkCounter();
  ~WorkCounter();
  WorkCounter(const WorkCounter&) = delete;
  WorkCounter& operator=(const WorkCounter&) = delete;

  /// Since construction or the last call of take().
  std::int64_t take();

 private:
  at::CallbackHandle handle_;
};

}  // namespace fatwood
