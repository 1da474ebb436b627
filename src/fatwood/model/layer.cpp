#include <ATen/CPUGeneratorImpl.h>

#include <fatwood/core/text.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/state.h>

namespace fatwood {

Tensor Layer::forward(const Tensor& x) {
  if (taps_.empty()) return compute(x);
  if (TapDeferral* deferral = TapDeferral::active()) {
    Tensor y = compute(x);
    deferral->computed(*this, y);
    return y;
  }
  announce_taps();
  Tensor y = compute(x);
  serve_taps(x, y);
  return y;
}

std::shared_ptr<torch::nn::Module> Layer::clone(const std::optional<torch::Device>& device) const {
  const torch::NoGradGuard no_grad;
  auto generator = at::detail::getDefaultCPUGenerator();
  const Tensor generator_state = generator.get_state();
  LayerPtr copy = remake();  // draws initial weights that are overwritten below
  generator.set_state(generator_state);
  copy_state(*this, *copy);
  if (device) copy->to(*device);
  copy_modes(*this, *copy);
  return copy;
}

void Layer::copy_modes(const torch::nn::Module& from, torch::nn::Module& to) {
  to.train(from.is_training());  // takes along what is inside, whose own modes therefore follow
  using Modules = std::vector<std::shared_ptr<torch::nn::Module>>;
  const auto copy_all = [](const Modules& parts, const Modules& copies) {
    for (std::size_t i = 0; i < parts.size() && i < copies.size(); ++i) {
      copy_modes(*parts[i], *copies[i]);
    }
  };
  const auto* layer = dynamic_cast<const Layer*>(&from);
  const auto* copy = dynamic_cast<const Layer*>(&to);
  if (layer && copy) copy_all(layer->unregistered_parts(), copy->unregistered_parts());
  copy_all(from.children(), to.children());
}

std::ostream& operator<<(std::ostream& stream, const Layer& layer) {
  stream << layer.description() << ": " << with_commas(count_parameters(layer)) << " parameters";
  for (const NamedLayer& part : layer.layers()) {
    stream << "\n  " << part.name << "  " << part.layer->description() << ": "
           << with_commas(count_parameters(*part.layer));
  }
  return stream;
}

std::string shape_text(torch::IntArrayRef shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace fatwood
