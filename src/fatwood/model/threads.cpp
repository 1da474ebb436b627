#include <ATen/Parallel.h>

#include <fatwood/model/threads.h>

namespace fatwood {

kernels::ParallelFor torch_threads() {
  if (at::in_parallel_region()) return {};
  return {at::get_num_threads(),
          [](void*, std::int64_t tasks, kernels::ParallelFor::Task task, void* context) {
            at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
              for (std::int64_t i = begin; i < end; ++i) task(context, i);
            });
          }};
}

}  // namespace fatwood
