// The yardstick of bench/run.py: multiply-adds on registers alone, on all threads of
// OMP_NUM_THREADS together. Prints "ready ISA", then for "steps N" the GFLOP/s of N runs of about a
// millisecond.
//
//     bench_peak [instruction set]
#include <algorithm>
#include <chrono>
#include <iostream>
#include <omp.h>
#include <string>

#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

/// Runs `rounds` on every thread; seconds from the first thread's start to the last one's end.
double seconds_of(const KernelTable& table, std::int64_t rounds) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin = Clock::time_point::max();
  float sink = 0;
#pragma omp parallel reduction(+ : sink)
  {
#pragma omp barrier
    const Clock::time_point own = Clock::now();
    sink += table.run_multiply_adds(rounds);
#pragma omp critical
    begin = std::min(begin, own);
  }
  const std::chrono::duration<double> taken = Clock::now() - begin;
  return sink == 0 ? 0 : taken.count();  // the products are used
}

int run(int argc, char** argv) {
  const Isa isa = choose_isa(argc > 1 ? argv[1] : "");
  const KernelTable& table = table_for(isa);
  std::int64_t rounds = 1000;
  while (seconds_of(table, rounds) < 1e-3) rounds *= 2;
  const double operations =
      2.0 * table.multiply_adds_per_round * static_cast<double>(rounds) * omp_get_max_threads();
  std::cout << "ready " << name_of(isa) << std::endl;
  for (std::string command; std::cin >> command;) {
    int count = 0;
    std::cin >> count;
    for (int i = 0; i < count; ++i)
      std::cout << operations / seconds_of(table, rounds) * 1e-9 << ' ';
    std::cout << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace fatwood::kernels

int main(int argc, char** argv) {
  return fatwood::kernels::run(argc, argv);
}
