// A tiny problem that trains in microseconds: points in the plane, two classes, one linear layer.
#pragma once

#include <fatwood/model/adaptor.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/learner.h>

namespace fatwood {

inline Loaders tiny_loaders(std::int64_t samples = 40, std::int64_t batch_size = 10) {
  torch::manual_seed(1);
  const Tensor x = torch::randn({samples, 2});
  const Tensor y = (x.sum(1) > 0).to(torch::kLong);
  return {tensor_batches(x, y, {.batch_size = batch_size}),
          tensor_batches(x, y, {.batch_size = batch_size})};
}

inline Learner tiny_learner(Callbacks callbacks = {}, std::int64_t samples = 40) {
  torch::manual_seed(2);
  const LayerPtr model = adapt(torch::nn::Linear(2, 2));
  return Learner({.model = model,
                  .loaders = tiny_loaders(samples),
                  .optimizer = sgd(*model, {.lr = 0.1}),
                  .loss_function = nullptr,
                  .callbacks = std::move(callbacks)});
}

}  // namespace fatwood
