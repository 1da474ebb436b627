// Weights to and from safetensors files, under PyTorch's state_dict keys: Python's safetensors,
// torch and timm read what is written here, and the way back.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <fatwood/io/safetensors.h>
#include <fatwood/model/state.h>

namespace fatwood {

/// Writes the module's state, durably and all or nothing. Throws Error{io}.
void save_weights(const torch::nn::Module& module, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});

/// Throws Error{io} or Error{data} for a file that cannot be read, Error{model} naming the key that
/// does not fit; the module is then unchanged.
void load_weights(torch::nn::Module& module, const std::filesystem::path& path);

/// A tensor that is contiguous on the CPU, as io/safetensors.h takes it: the view is into its
/// storage. Throws Error{model} for a dtype that the format has not.
TensorView view_of(const std::string& name, const torch::Tensor& tensor);
/// A tensor of its own with the view's values.
torch::Tensor tensor_of(const TensorView& view);

/// Any tensors, likewise. They are copied to the CPU in C order.
void save_tensors(const NamedTensors& tensors, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});
NamedTensors load_tensors(const std::filesystem::path& path);

}  // namespace fatwood
