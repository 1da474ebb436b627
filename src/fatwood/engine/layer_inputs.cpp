#include <fatwood/engine/layer_inputs.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>
#include <fatwood/model/sequential.h>

namespace fatwood {
namespace {

void collect(const std::string& path, const torch::nn::Module& module,
             std::vector<NamedLayer>& found) {
  const auto name = [&path](const std::string& part) {
    return path.empty() ? part : path + "." + part;
  };
  const auto add = [&](const std::vector<NamedLayer>& layers) {
    for (const NamedLayer& part : layers) {
      if (dynamic_cast<const Sequential*>(part.layer.get())) continue;  // its own layers have rows
      found.push_back({name(part.name), part.layer});
    }
  };
  if (const auto* network = dynamic_cast<const ResNet*>(&module)) return add(network->layers());
  if (const auto* layers = dynamic_cast<const Sequential*>(&module)) add(layers->layers());
  for (const auto& child : module.named_children()) {
    collect(name(child.key()), *child.value(), found);
  }
}

/// Puts the model into evaluation mode and every module back into its own.
class Evaluating {
 public:
  explicit Evaluating(torch::nn::Module& model) {
    for (const auto& module : model.modules()) modes_.emplace_back(module, module->is_training());
    model.eval();
  }
  ~Evaluating() {
    // A module takes its children along, and comes before them in the list.
    for (const auto& [module, training] : modes_) module->train(training);
  }
  Evaluating(const Evaluating&) = delete;
  Evaluating& operator=(const Evaluating&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modes_;
};

}  // namespace

std::vector<NamedLayer> engine_layers(const torch::nn::Module& model) {
  std::vector<NamedLayer> layers;
  collect("", model, layers);
  return layers;
}

std::vector<std::vector<std::int64_t>> inputs_of(Layer& model, const Tensor& batch,
                                                 const std::vector<NamedLayer>& layers) {
  std::vector<std::vector<std::int64_t>> shapes(layers.size());
  std::vector<TapHandle> handles;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    handles.push_back(layers[i].layer->add_tap(
        {.request = {.tensors = true, .training = false, .evaluation = true},
         .deliver = [&shapes, i](const TapReading& reading) {
           shapes[i] = reading.input.sizes().vec();
         }}));
  }
  const torch::NoGradGuard no_grad;
  const PlainExecution plainly;
  const Evaluating evaluating(model);
  model.forward(batch);
  return shapes;
}

}  // namespace fatwood
