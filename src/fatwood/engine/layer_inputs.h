// The layers of a model that an engine may take over, and what each of them is given. Internal to
// the engine's sources.
#pragma once

#include <string>
#include <vector>

#include <fatwood/model/layer.h>

namespace fatwood {

/// The layers of every Sequential in the model, one by one, in their order.
std::vector<NamedLayer> engine_layers(const torch::nn::Module& model);

/// A layer and a shape that it is given.
struct LayerInput {
  /// Its path: "layers.0"; where several shapes come, "layers.0 at (512, 8, 14, 14)".
  std::string name;
  LayerPtr layer;
  std::vector<std::int64_t> shape;  ///< empty where it does not run
  bool first = false;               ///< of the model, which is given the batch itself
};

/// The engine's layers, in their order, with what they are given when the model gets `batch`: once
/// for each shape that a layer is given. Runs the model once through LibTorch, in evaluation mode.
std::vector<LayerInput> layers_with_inputs(Layer& model, const Tensor& batch);

}  // namespace fatwood
