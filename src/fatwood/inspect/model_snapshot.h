// ModelSnapshot: what functions that look at a model by running or training it must put back.
#pragma once

#include <vector>

#include <fatwood/model/state.h>

namespace fatwood {

/// Copies of a module's parameters and buffers, the mode of each of its parts, its gradients, and
/// the default generator of the CPU. The module must outlive it.
class ModelSnapshot {
 public:
  explicit ModelSnapshot(torch::nn::Module& module);

  /// All of it as it was, bit for bit, in the tensors that the module has now.
  void restore() const;

  /// All but the parameters' values.
  void restore_all_but_parameters() const;

  /// Drops every gradient of the module; restore() brings them back.
  void drop_gradients() const;

 private:
  void restore_values(bool parameters) const;

  struct Saved {
    torch::Tensor tensor, value;
    bool is_parameter;
  };
  torch::nn::Module& module_;
  std::vector<Saved> state_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> gradients_;  // parameter, its gradient
  std::vector<std::pair<torch::nn::Module*, bool>> modes_;          // outer modules first
  torch::Tensor generator_;
};

}  // namespace fatwood
