// fatwood/cuda's kernels on the processor, in the place of program.cpp and graph.cpp.
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <ucontext.h>
#include <utility>
#include <vector>

#include <fatwood/cuda/cuda.h>
#include <fatwood/cuda/program.h>

#include "cuda/emulation.h"

// The sources are written for nvcc, which warns of other things.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused"
#define FATWOOD_MODULE_BASE
#define FATWOOD_MODULE_CONVOLUTION_F32
#define FATWOOD_MODULE_CONVOLUTION_BF16
namespace emulated {
#include <fatwood/cuda/kernels.cu>
// in this order
#include <fatwood/cuda/elementwise.cu>
// in this order
#include <fatwood/cuda/cross_entropy.cu>
// in this order
#include <fatwood/cuda/activation_norm.cu>
// in this order
#include <fatwood/cuda/tiles.h>
// in this order
#include <fatwood/cuda/convolution.cu>
// in this order
#include <fatwood/cuda/weight_gradient.cu>
}  // namespace emulated
#pragma GCC diagnostic pop

namespace emulation {

Index thread, block, grid, block_size;
unsigned* dynamic_shared = nullptr;

namespace {

enum class Wait { nothing, warp, block, done };

struct Fiber {
  ucontext_t context;
  Wait wait = Wait::nothing;
  std::unique_ptr<char[]> stack;
};

constexpr std::size_t kStackBytes = std::size_t{64} << 10;
std::vector<Fiber> fibers;
std::size_t current = 0;
ucontext_t scheduler;
const std::function<void()>* running = nullptr;

void enter() {
  (*running)();
  fibers[current].wait = Wait::done;
  swapcontext(&fibers[current].context, &scheduler);
}

void wait(Wait what) {
  Fiber& fiber = fibers[current];
  fiber.wait = what;
  swapcontext(&fiber.context, &scheduler);
}

/// Lets those of [begin, end) go on that wait for `what`, if none of them could run without.
void release(std::size_t begin, std::size_t end, Wait what) {
  for (std::size_t i = begin; i < end; ++i) {
    if (fibers[i].wait != what && fibers[i].wait != Wait::done) return;
  }
  for (std::size_t i = begin; i < end; ++i) {
    if (fibers[i].wait == what) fibers[i].wait = Wait::nothing;
  }
}

void run_block(unsigned threads) {
  while (fibers.size() < threads) {
    fibers.emplace_back().stack = std::make_unique<char[]>(kStackBytes);
  }
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    fiber.wait = Wait::nothing;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool alive = true; alive;) {
    bool ran = false;
    for (unsigned i = 0; i < threads; ++i) {
      if (fibers[i].wait != Wait::nothing) continue;
      current = i;
      thread = {.x = i};
      swapcontext(&scheduler, &fibers[i].context);
      ran = true;
    }
    for (unsigned first = 0; first < threads; first += 32)
      release(first, std::min(first + 32, threads), Wait::warp);
    release(0, threads, Wait::block);
    alive = false;
    for (unsigned i = 0; i < threads; ++i) alive |= fibers[i].wait != Wait::done;
    if (alive && !ran) throw std::logic_error("a kernel's threads wait for one another");
  }
}

}  // namespace

void wait_for_block() {
  wait(Wait::block);
}
void wait_for_warp() {
  wait(Wait::warp);
}

void run(Index size, unsigned threads, std::int64_t shared_bytes,
         const std::function<void()>& kernel) {
  // Memory that nobody wrote is no zeros on a GPU either.
  std::vector<uint4> shared(static_cast<std::size_t>(shared_bytes) / sizeof(uint4) + 1,
                            uint4{0x7fc00000, 0x7fc00000, 0x7fc00000, 0x7fc00000});
  dynamic_shared = &shared.front().x;
  running = &kernel;
  grid = size;
  block_size = {.x = threads, .y = 1, .z = 1};
  for (block.z = 0; block.z < size.z; ++block.z) {
    for (block.y = 0; block.y < size.y; ++block.y) {
      for (block.x = 0; block.x < size.x; ++block.x) run_block(threads);
    }
  }
}

}  // namespace emulation

namespace fatwood::cuda {
namespace {

using Launcher = std::function<void(void**)>;

template <class... Arguments>
Launcher launcher(void (*kernel)(Arguments...)) {
  return [kernel](void** arguments) {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      kernel(*static_cast<std::remove_cv_t<Arguments>*>(arguments[i])...);
    }
    (std::index_sequence_for<Arguments...>{});
  };
}

const std::map<std::string, Launcher, std::less<>>& kernels() {
#define ONE(name) \
  { #name, launcher(emulated::name) }
#define BOTH(name) ONE(name##_f32), ONE(name##_bf16)
#define LANES(name) BOTH(name##_1), BOTH(name##_4)
  static const std::map<std::string, Launcher, std::less<>> all{ONE(gather_images),
                                                                ONE(adamw),
                                                                BOTH(moments),
                                                                ONE(cross_entropy_f32),
                                                                ONE(sum_splits),
                                                                LANES(norm_sums),
                                                                LANES(norm_apply),
                                                                LANES(norm_gradient_sums),
                                                                LANES(norm_gradient),
                                                                LANES(sum_activation),
                                                                LANES(sum_activation_gradient),
                                                                LANES(average_pool),
                                                                LANES(average_pool_gradient),
                                                                BOTH(convolve_1_pairs),
                                                                BOTH(convolve_1_singles),
                                                                BOTH(convolve_2_pairs),
                                                                BOTH(convolve_2_singles),
                                                                BOTH(convolve_4_pairs),
                                                                BOTH(convolve_4_singles),
                                                                BOTH(weight_gradient_1_1),
                                                                BOTH(weight_gradient_1_3),
                                                                BOTH(weight_gradient_1_5),
                                                                BOTH(weight_gradient_1_7),
                                                                BOTH(weight_gradient_1_9),
                                                                BOTH(weight_gradient_2_1),
                                                                BOTH(weight_gradient_2_3),
                                                                BOTH(weight_gradient_2_5),
                                                                BOTH(weight_gradient_2_7),
                                                                BOTH(weight_gradient_2_9)};
#undef LANES
#undef BOTH
#undef ONE
  return all;
}

}  // namespace

void launch(const char* kernel, Grid grid, std::int64_t threads, void** arguments,
            std::int64_t shared_bytes) {
  const auto found = kernels().find(kernel);
  if (found == kernels().end()) throw std::logic_error(std::string(kernel) + " is not a kernel");
  const auto number = [](std::int64_t n) { return static_cast<unsigned>(n); };
  emulation::run({.x = number(grid.x), .y = number(grid.y), .z = number(grid.z)}, number(threads),
                 shared_bytes, [&] { found->second(arguments); });
}

// Few, so that a block takes several tiles.
std::int64_t multiprocessors() {
  return 2;
}
bool multiplies_tf32() {
  return true;
}

// What nothing emulates.
bool built() {
  return false;
}
struct OwnStream::State {};
OwnStream::OwnStream() = default;
OwnStream::~OwnStream() = default;
struct Graph::State {};
Graph::Graph(const std::function<void()>&) {
  throw std::logic_error("graphs are not emulated");
}
Graph::~Graph() = default;
void Graph::replay() {}

}  // namespace fatwood::cuda
