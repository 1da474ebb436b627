#include <fatwood/model/libtorch.h>
#include <fatwood/train/seed.h>

namespace fatwood {

void set_seed(std::uint64_t seed, bool deterministic) {
  torch::manual_seed(seed);
  at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  if (deterministic) at::globalContext().setBenchmarkCuDNN(false);
}

}  // namespace fatwood
