#include <ATen/CPUGeneratorImpl.h>

#include <fatwood/core/text.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/state.h>

namespace fatwood {

Tensor Layer::forward(const Tensor& x) {
  if (taps_.empty()) return compute(x);
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
  copy->train(is_training());
  return copy;
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
