// The two passes over a plan. Internal to the stretch's sources.
#pragma once

#include <fatwood/kernels/plan.h>

namespace fatwood::kernels {

void run_forward(Plan& plan, const float* x, float* out, Mode mode, bool watch,
                 const ParallelFor& parallel);
void run_backward(Plan& plan, const float* grad_out, float* grad_x, Mode mode,
                  const ParallelFor& parallel);

/// function(thread memory, group) for every group, each thread taking consecutive ones.
template <class Function>
void for_each_group(Plan& plan, const ParallelFor& parallel, Function&& function) {
  const auto threads = static_cast<std::int64_t>(plan.memory.size());
  parallel.for_each(threads, [&](std::int64_t thread) {
    const auto [begin, end] = ParallelFor::part_of(thread, threads, plan.groups, 1);
    ThreadMemory& memory = plan.memory[static_cast<std::size_t>(thread)];
    for (std::int64_t group = begin; group < end; ++group) function(memory, group);
  });
}

}  // namespace fatwood::kernels
