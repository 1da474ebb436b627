// From a layer to what the kernels run: the LayerSpec, and the tensors behind its pointers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include <fatwood/kernels/stretch.h>
#include <fatwood/model/layer.h>

namespace fatwood {

/// A layer that the kernels can run. The tensors are the layer's own, in the order in which
/// `parameter_slots` visits the spec.
struct TranslatedLayer {
  kernels::LayerSpec spec;
  std::vector<Tensor> parameters;
  std::vector<Tensor> batch_counts;  ///< num_batches_tracked of each norm

  /// Whether its output is (N, C) where the kernels make (N, C, 1, 1).
  bool flattens() const { return std::holds_alternative<kernels::HeadSpec>(spec); }
};

/// nullopt, and why in `reason`, for a layer that the kernels do not know in its present state.
std::optional<TranslatedLayer> translate(const Layer& layer, std::string& reason);

/// Every parameter of the spec, in one fixed order.
std::vector<kernels::Parameter*> parameter_slots(kernels::LayerSpec& spec);

/// Whether what was planned for one spec runs the other: the same but for parameters, running
/// statistics and the norms' numbers.
bool same_plan(const kernels::LayerSpec& a, const kernels::LayerSpec& b);

/// Points `to` at the parameters and running statistics of `from`; their plan is the same.
void rebind(kernels::LayerSpec& to, const kernels::LayerSpec& from);

}  // namespace fatwood
