// The two passes over a plan. Internal to the stretch's sources.
#pragma once

#include <algorithm>

#include <fatwood/kernels/plan.h>

namespace fatwood::kernels {

void run_forward(Plan& plan, const float* x, float* out, Mode mode, bool watch,
                 const ParallelFor& parallel);
void run_backward(Plan& plan, const float* grad_out, float* grad_x, Mode mode,
                  const ParallelFor& parallel);

/// function(thread memory, begin, end) for runs of `chunk` groups at most, each thread taking
/// consecutive ones.
template <class Function>
void for_each_chunk(Plan& plan, const ParallelFor& parallel, std::int64_t chunk,
                    Function&& function) {
  const auto threads = static_cast<std::int64_t>(plan.memory.size());
  parallel.for_each(threads, [&](std::int64_t thread) {
    const auto [begin, end] = ParallelFor::part_of(thread, threads, plan.groups, 1);
    ThreadMemory& memory = plan.memory[static_cast<std::size_t>(thread)];
    for (std::int64_t at = begin; at < end; at += chunk) {
      function(memory, at, std::min(at + chunk, end));
    }
  });
}

/// function(thread memory, group) for every group.
template <class Function>
void for_each_group(Plan& plan, const ParallelFor& parallel, Function&& function) {
  for_each_chunk(plan, parallel, 1, [&](ThreadMemory& memory, std::int64_t group, std::int64_t) {
    function(memory, group);
  });
}

/// The value as its readers take it: a late one is formed in `memory`, the others lie ready.
inline const float* read_group(const Plan& plan, const Value& value, std::int64_t group,
                               float* memory) {
  if (!value.late) return value.group(group);
  plan.table->affine_activate(value.shape.channels, value.pixels(), value.group(group),
                              value.scale.data(), value.shift.data(), value.activation.slope,
                              memory);
  return memory;
}

/// Has `job` fetch the group of `next`, what the next call reads, unless it is larger than half of
/// the second-level cache: 256 KiB where vectors have 8 lanes, twice that where they have 16.
inline void fetch_ahead(const Plan& plan, const Value& next, std::int64_t group, Correlate& job) {
  if (next.group_size > std::int64_t{8192} * plan.lanes) return;
  job.ahead = next.group(group);
  job.ahead_floats = next.group_size;
}

inline MaxPool max_pool_of(const Pooling& pooling, std::int64_t group, ThreadMemory& memory) {
  const Value& in = *pooling.in;
  return {in.shape.channels, in.shape.height, in.shape.width,      in.group(group),
          in.scale.data(),   in.shift.data(), in.activation.slope, memory.formed.data()};
}

}  // namespace fatwood::kernels
