// Optimisers over named parameter groups: AdamW and SGD with PyTorch's formulas, run as one fused
// pass a group. A parameter without a gradient is left alone, weight decay included.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <fatwood/model/state.h>

namespace fatwood {

/// Parameters that share their hyperparameters. Schedules write `lr` and `momentum`.
struct ParamGroup {
  std::string name;
  NamedTensors parameters;
  double lr = 1e-2;            ///< used by the next step
  double base_lr = 1e-2;       ///< what schedules scale
  double momentum = 0.9;       ///< AdamW: beta1
  double weight_decay = 1e-2;  ///< AdamW: decoupled; SGD: added to the gradient
};

/// All parameters in one group, or, with `decay_all` false, norms and biases (tensors of one
/// dimension) in a second group "no_decay" whose weight decay is 0.
std::vector<ParamGroup> group_parameters(const torch::nn::Module& model, bool decay_all = true);

class Optimizer {
 public:
  explicit Optimizer(std::vector<ParamGroup> groups);
  virtual ~Optimizer() = default;

  virtual std::string kind() const = 0;  ///< "adamw"
  virtual void step() = 0;
  /// Drops every gradient.
  void zero_grad();

  std::vector<ParamGroup>& groups() { return groups_; }
  const std::vector<ParamGroup>& groups() const { return groups_; }

  /// The running state, "<parameter>.exp_avg" and so on, for parameters that have stepped.
  virtual NamedTensors state() const = 0;
  /// Throws Error{model} naming the key for an unknown parameter or another shape.
  virtual void load_state(const NamedTensors& state) = 0;

 private:
  std::vector<ParamGroup> groups_;
};

using OptimizerPtr = std::shared_ptr<Optimizer>;

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool decay_all = true;  ///< false: no decay on norms and biases
};

/// Loshchilov & Hutter, "Decoupled Weight Decay Regularization"; equal to torch.optim.AdamW.
/// Throws Error{usage} for a value that cannot be: a negative or non-finite rate, a beta outside
/// [0, 1).
OptimizerPtr adamw(const torch::nn::Module& model, const AdamWOptions& options = {});

struct SGDOptions {
  double lr = 1e-2;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  bool decay_all = true;
};

/// Equal to torch.optim.SGD. Throws Error{usage} as adamw does.
OptimizerPtr sgd(const torch::nn::Module& model, const SGDOptions& options = {});

}  // namespace fatwood
