// What the kernel tests share: the instruction sets to run, a thread pool, and random numbers.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/parallel.h>

namespace fatwood::kernels {

inline std::vector<Isa> isas_here() {
  std::vector<Isa> found;
  for (const IsaInfo& candidate : isas()) {
    if (runs_here(candidate.isa)) found.push_back(candidate.isa);
  }
  return found;
}

/// A test suite that runs once for each instruction set of this machine.
class OnEveryIsa : public testing::TestWithParam<Isa> {
 protected:
  static Isa isa() { return GetParam(); }
};

inline std::string isa_test_name(const testing::TestParamInfo<Isa>& info) {
  return std::string(name_of(info.param));
}

#define FATWOOD_ON_EVERY_ISA(suite)                                                        \
  INSTANTIATE_TEST_SUITE_P(isa, suite, testing::ValuesIn(::fatwood::kernels::isas_here()), \
                           ::fatwood::kernels::isa_test_name)

/// One new thread for each task: slow, and shows every dependence on the order of tasks.
inline ParallelFor threads(int count) {
  return {count, [](void*, std::int64_t tasks, ParallelFor::Task task, void* context) {
            std::vector<std::jthread> running;
            for (std::int64_t i = tasks; i-- > 0;) running.emplace_back(task, context, i);
          }};
}

inline std::vector<float> normal(std::size_t n, unsigned seed, float mean = 0, float std = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(mean, std);
  std::vector<float> values(n);
  for (float& value : values) value = distribution(generator);
  return values;
}

/// -1, 0 or 1 times `size`, about `share` of them not 0.
inline std::vector<float> signs(std::size_t n, unsigned seed, double share, float size = 1) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution;
  std::vector<float> values(n);
  for (float& value : values) {
    const double draw = distribution(generator);
    value = draw < share / 2 ? -size : draw < share ? size : 0;
  }
  return values;
}

}  // namespace fatwood::kernels
