#include <cmath>
#include <map>
#include <unordered_map>

#include <fatwood/core/error.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/optimizer.h>

namespace fatwood {
namespace {

void check_range(const char* optimizer, const char* what, double value, double low, double below) {
  if (std::isfinite(value) && value >= low && value < below) return;
  std::string wanted = "wanted a finite number of " + std::to_string(low) + " or more";
  if (std::isfinite(below)) wanted += " and below " + std::to_string(below);
  throw Error(ErrorKind::usage, optimizer,
              std::string(what) + " " + std::to_string(value) + ", " + wanted);
}

// The fused kernels walk parameter, gradient and state by one index: gradients that a user set in
// another layout are brought into the parameter's.
Tensor gradient_like(const Tensor& parameter) {
  const Tensor& grad = parameter.grad();
  if (grad.strides() == parameter.strides() && grad.scalar_type() == parameter.scalar_type())
    return grad;
  return torch::empty_like(parameter).copy_(grad);
}

std::vector<ParamGroup> with_rates(std::vector<ParamGroup> groups, double lr, double momentum,
                                   double weight_decay) {
  for (ParamGroup& group : groups) {
    group.lr = group.base_lr = lr;
    group.momentum = momentum;
    group.weight_decay = group.name == "no_decay" ? 0 : weight_decay;
  }
  return groups;
}

// State of one kind per parameter, found by the parameter's identity.
template <class State>
using StateMap = std::unordered_map<torch::TensorImpl*, State>;

const Tensor& find_parameter(const std::vector<ParamGroup>& groups, const std::string& name,
                             const std::string& key) {
  for (const ParamGroup& group : groups) {
    for (const auto& [known, parameter] : group.parameters) {
      if (known == name) return parameter;
    }
  }
  throw Error(ErrorKind::model, "load_optimizer", key + ": the model has no parameter " + name);
}

void load_slot(Tensor& slot, const Tensor& parameter, const Tensor& value, const std::string& key) {
  if (value.sizes() != parameter.sizes()) {
    throw Error(
        ErrorKind::model, "load_optimizer",
        key + " is " + shape_text(value.sizes()) + ", wanted " + shape_text(parameter.sizes()));
  }
  slot = torch::empty_like(parameter).copy_(value);
}

// "a.b.exp_avg" → {"a.b", "exp_avg"}
std::pair<std::string, std::string> split_key(const std::string& key) {
  const auto dot = key.rfind('.');
  if (dot == std::string::npos)
    throw Error(ErrorKind::model, "load_optimizer", key + ": not a parameter's state");
  return {key.substr(0, dot), key.substr(dot + 1)};
}

class AdamW : public Optimizer {
 public:
  AdamW(std::vector<ParamGroup> groups, const AdamWOptions& options)
      : Optimizer(std::move(groups)), options_(options) {}

  std::string kind() const override { return "adamw"; }

  void step() override {
    const torch::NoGradGuard no_grad;
    for (const ParamGroup& group : groups()) {
      Pass pass;
      std::map<float, Pass> on_gpu;  // for cuda's kernel, by the number of the update
      for (const auto& [name, parameter] : group.parameters) {
        if (!parameter.grad().defined()) continue;
        Slot& slot = slots_[parameter.unsafeGetTensorImpl()];
        if (!slot.exp_avg.defined()) {
          slot = {torch::zeros_like(parameter), torch::zeros_like(parameter),
                  torch::zeros({}, step_options(parameter))};
        }
        if (slot.step.is_cpu()) {
          *slot.step.data_ptr<float>() += 1;
        } else {
          slot.step += 1;
        }
        const bool own = on_cuda_kernel(parameter) && parameter.is_non_overlapping_and_dense() &&
                         parameter.strides() == slot.exp_avg.strides() &&
                         parameter.strides() == slot.exp_avg_sq.strides();
        Pass& taker = own ? on_gpu[*slot.step.const_data_ptr<float>()] : pass;
        taker.parameters.push_back(parameter);
        taker.grads.push_back(gradient_like(parameter));
        taker.exp_avgs.push_back(slot.exp_avg);
        taker.exp_avg_sqs.push_back(slot.exp_avg_sq);
        if (!own) taker.steps.push_back(slot.step.to(parameter.device()));
      }
      for (const auto& [update, own] : on_gpu) {
        cuda_pass_.run(own.parameters, own.grads, own.exp_avgs, own.exp_avg_sqs,
                       {.lr = group.lr,
                        .beta1 = group.momentum,
                        .beta2 = options_.beta2,
                        .weight_decay = group.weight_decay,
                        .eps = options_.eps,
                        .step = update});
      }
      if (pass.parameters.empty()) continue;
      at::_fused_adamw_(pass.parameters, pass.grads, pass.exp_avgs, pass.exp_avg_sqs,
                        /*max_exp_avg_sqs=*/{}, pass.steps, group.lr, group.momentum,
                        options_.beta2, group.weight_decay, options_.eps,
                        /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }

  NamedTensors state() const override {
    NamedTensors state;
    for (const ParamGroup& group : groups()) {
      for (const auto& [name, parameter] : group.parameters) {
        const auto found = slots_.find(parameter.unsafeGetTensorImpl());
        if (found == slots_.end()) continue;
        state.emplace_back(name + ".exp_avg", found->second.exp_avg);
        state.emplace_back(name + ".exp_avg_sq", found->second.exp_avg_sq);
        state.emplace_back(name + ".step", found->second.step);
      }
    }
    return state;
  }

  void load_state(const NamedTensors& state) override {
    StateMap<Slot> slots;
    for (const auto& [key, value] : state) {
      const auto [name, what] = split_key(key);
      const Tensor& parameter = find_parameter(groups(), name, key);
      Slot& slot = slots[parameter.unsafeGetTensorImpl()];
      if (what == "exp_avg") {
        load_slot(slot.exp_avg, parameter, value, key);
      } else if (what == "exp_avg_sq") {
        load_slot(slot.exp_avg_sq, parameter, value, key);
      } else if (what == "step" && value.numel() == 1) {
        slot.step = value.to(step_options(parameter), false, true).reshape({});
      } else {
        throw Error(ErrorKind::model, "load_optimizer", key + ": not a state of AdamW");
      }
    }
    for (const auto& [parameter, slot] : slots) {
      if (!slot.exp_avg.defined() || !slot.exp_avg_sq.defined() || !slot.step.defined()) {
        throw Error(ErrorKind::model, "load_optimizer",
                    "a parameter's state lacks exp_avg, exp_avg_sq or step");
      }
    }
    slots_ = std::move(slots);
  }

 private:
  struct Slot {
    Tensor exp_avg, exp_avg_sq, step;
  };
  struct Pass {
    std::vector<Tensor> parameters, grads, exp_avgs, exp_avg_sqs, steps;
  };
  static bool on_cuda_kernel(const Tensor& parameter) {
    return cuda::built() && parameter.is_cuda() && parameter.scalar_type() == torch::kFloat;
  }
  /// cuda's kernel is told the number of the update; LibTorch's operator reads it beside the
  /// values.
  static torch::TensorOptions step_options(const Tensor& parameter) {
    return torch::TensorOptions()
        .dtype(torch::kFloat)
        .device(on_cuda_kernel(parameter) ? torch::Device(torch::kCPU) : parameter.device());
  }

  AdamWOptions options_;
  StateMap<Slot> slots_;
  cuda::AdamWPass cuda_pass_;
};

class SGD : public Optimizer {
 public:
  SGD(std::vector<ParamGroup> groups, const SGDOptions& options)
      : Optimizer(std::move(groups)), options_(options) {}

  std::string kind() const override { return "sgd"; }

  void step() override {
    const torch::NoGradGuard no_grad;
    for (const ParamGroup& group : groups()) {
      Pass first, later;  // a parameter's first step sets its buffer to the gradient
      for (const auto& [name, parameter] : group.parameters) {
        if (!parameter.grad().defined()) continue;
        Pass* pass = &later;
        if (group.momentum != 0) {
          Tensor& buffer = buffers_[parameter.unsafeGetTensorImpl()];
          if (!buffer.defined()) {
            buffer = torch::zeros_like(parameter);
            pass = &first;
          }
          pass->buffers.push_back(buffer);
        }
        pass->parameters.push_back(parameter);
        pass->grads.push_back(gradient_like(parameter));
      }
      run(group, first, /*is_first=*/true);
      run(group, later, /*is_first=*/false);
    }
  }

  NamedTensors state() const override {
    NamedTensors state;
    for (const ParamGroup& group : groups()) {
      for (const auto& [name, parameter] : group.parameters) {
        const auto found = buffers_.find(parameter.unsafeGetTensorImpl());
        if (found != buffers_.end()) state.emplace_back(name + ".momentum_buffer", found->second);
      }
    }
    return state;
  }

  void load_state(const NamedTensors& state) override {
    StateMap<Tensor> buffers;
    for (const auto& [key, value] : state) {
      const auto [name, what] = split_key(key);
      if (what != "momentum_buffer")
        throw Error(ErrorKind::model, "load_optimizer", key + ": not a state of SGD");
      const Tensor& parameter = find_parameter(groups(), name, key);
      load_slot(buffers[parameter.unsafeGetTensorImpl()], parameter, value, key);
    }
    buffers_ = std::move(buffers);
  }

 private:
  struct Pass {
    std::vector<Tensor> parameters, grads, buffers;
  };
  void run(const ParamGroup& group, Pass& pass, bool is_first) const {
    if (pass.parameters.empty()) return;
    at::_fused_sgd_(pass.parameters, pass.grads, pass.buffers, group.weight_decay, group.momentum,
                    group.lr,
                    /*dampening=*/0, options_.nesterov, /*maximize=*/false, is_first);
  }

  SGDOptions options_;
  StateMap<Tensor> buffers_;
};

}  // namespace

std::vector<ParamGroup> group_parameters(const torch::nn::Module& model, bool decay_all) {
  std::vector<ParamGroup> groups(1);
  groups[0].name = "all";
  if (!decay_all) {
    groups[0].name = "decay";
    groups.emplace_back().name = "no_decay";
  }
  for (const auto& [name, parameter] : named_parameters(model)) {
    if (!parameter.requires_grad()) continue;
    ParamGroup& group = !decay_all && parameter.dim() <= 1 ? groups[1] : groups[0];
    group.parameters.emplace_back(name, parameter);
  }
  return groups;
}

Optimizer::Optimizer(std::vector<ParamGroup> groups) : groups_(std::move(groups)) {}

void Optimizer::zero_grad() {
  for (ParamGroup& group : groups_) {
    for (auto& [name, parameter] : group.parameters) parameter.mutable_grad() = Tensor();
  }
}

OptimizerPtr adamw(const torch::nn::Module& model, const AdamWOptions& options) {
  constexpr double kUnbounded = INFINITY;
  check_range("adamw", "learning rate", options.lr, 0, kUnbounded);
  check_range("adamw", "beta1", options.beta1, 0, 1);
  check_range("adamw", "beta2", options.beta2, 0, 1);
  check_range("adamw", "eps", options.eps, 0, kUnbounded);
  check_range("adamw", "weight decay", options.weight_decay, 0, kUnbounded);
  return std::make_shared<AdamW>(with_rates(group_parameters(model, options.decay_all), options.lr,
                                            options.beta1, options.weight_decay),
                                 options);
}

OptimizerPtr sgd(const torch::nn::Module& model, const SGDOptions& options) {
  constexpr double kUnbounded = INFINITY;
  check_range("sgd", "learning rate", options.lr, 0, kUnbounded);
  check_range("sgd", "momentum", options.momentum, 0, kUnbounded);
  check_range("sgd", "weight decay", options.weight_decay, 0, kUnbounded);
  if (options.nesterov && options.momentum == 0) {
    throw Error(ErrorKind::usage, "sgd", "nesterov with momentum 0, wanted a momentum above 0");
  }
  return std::make_shared<SGD>(with_rates(group_parameters(model, options.decay_all), options.lr,
                                          options.momentum, options.weight_decay),
                               options);
}

}  // namespace fatwood
