// A small problem for small networks: three classes told apart by which third of the image is
// bright.
#pragma once

#include <fatwood/model/libtorch.h>
#include <fatwood/train/batch.h>

namespace fatwood {

inline Loaders bright_thirds(std::int64_t samples) {
  torch::manual_seed(0);
  const Tensor y = torch::arange(samples) % 3;
  Tensor x = torch::randn({samples, 1, 9, 9}) * 0.3;
  for (std::int64_t i = 0; i < samples; ++i) x[i][0].narrow(0, (i % 3) * 3, 3).add_(1);
  return {tensor_batches(x, y, {.batch_size = 32, .shuffle = true}),
          tensor_batches(x, y, {.batch_size = 64})};
}

}  // namespace fatwood
