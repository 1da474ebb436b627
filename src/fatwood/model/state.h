// A module's state by name: what checkpoints hold and what Python's state_dict holds, in its order.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

namespace fatwood {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Parameters and buffers under the keys of PyTorch's state_dict. An adapted module's own names
/// stand without a prefix for the adaptor. The tensors share the module's storage.
NamedTensors named_state(const torch::nn::Module& module);

/// Parameters only, likewise.
NamedTensors named_parameters(const torch::nn::Module& module);

/// Copies `state` into the module's parameters and buffers, keeping the module's dtype, device and
/// layout. `source` names where the state came from in errors. Throws Error{model} naming the key
/// for one that is missing, unknown or of another shape; the module is then unchanged.
void load_state(torch::nn::Module& module, const NamedTensors& state, const std::string& source);

/// Makes `to` an equal of `from`: values, dtype, device and requires_grad, by name.
/// Throws Error{model} when the names differ.
void copy_state(const torch::nn::Module& from, torch::nn::Module& to);

/// Entries of all parameters.
std::int64_t count_parameters(const torch::nn::Module& module);

}  // namespace fatwood
