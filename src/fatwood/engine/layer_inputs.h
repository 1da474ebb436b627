// The layers of a model that an engine may take over, and what each of them is given. Internal to
// the engine's sources.
#pragma once

#include <vector>

#include <fatwood/model/layer.h>

namespace fatwood {

/// The layers of every Sequential in the model, one by one, in their order.
std::vector<NamedLayer> engine_layers(const torch::nn::Module& model);

/// The shape that each layer is given when the model gets `batch`; empty for one that does not run.
/// Runs the model once through LibTorch, in evaluation mode.
std::vector<std::vector<std::int64_t>> inputs_of(Layer& model, const Tensor& batch,
                                                 const std::vector<NamedLayer>& layers);

}  // namespace fatwood
