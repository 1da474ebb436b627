#include <ATen/CPUGeneratorImpl.h>

#include <fatwood/inspect/model_snapshot.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

ModelSnapshot::ModelSnapshot(torch::nn::Module& module)
    : module_(module), generator_(at::detail::getDefaultCPUGenerator().get_state()) {
  const torch::NoGradGuard no_grad;
  const auto save = [this](const torch::Tensor& tensor, bool is_parameter) {
    state_.push_back({tensor, tensor.detach().clone(), is_parameter});
  };
  for (const torch::Tensor& parameter : module.parameters()) {
    save(parameter, true);
    gradients_.emplace_back(parameter, parameter.grad());
  }
  for (const torch::Tensor& buffer : module.buffers()) {
    if (buffer.defined()) save(buffer, false);
  }
  modes_.emplace_back(&module, module.is_training());
  for (const auto& part : module.modules(/*include_self=*/false))
    modes_.emplace_back(part.get(), part->is_training());
}

void ModelSnapshot::restore_values(bool parameters) const {
  const torch::NoGradGuard no_grad;
  for (const Saved& saved : state_) {
    torch::Tensor tensor = saved.tensor;
    if (parameters || !saved.is_parameter) tensor.copy_(saved.value);
  }
  for (const auto& [parameter, gradient] : gradients_) parameter.mutable_grad() = gradient;
  // A module's train() reaches its parts, which come later in this list.
  for (const auto& [part, training] : modes_) part->train(training);
  at::Generator generator = at::detail::getDefaultCPUGenerator();  // refers to the one there is
  generator.set_state(generator_);
}

void ModelSnapshot::restore() const {
  restore_values(/*parameters=*/true);
}

void ModelSnapshot::restore_all_but_parameters() const {
  restore_values(/*parameters=*/false);
}

void ModelSnapshot::drop_gradients() const {
  for (const auto& [parameter, gradient] : gradients_) parameter.mutable_grad() = torch::Tensor();
}

}  // namespace fatwood
