#include <algorithm>
#include <map>

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

std::vector<LayerInput> layers_with_inputs(Layer& model, const Tensor& batch) {
  using Shape = std::vector<std::int64_t>;
  struct Seen {
    std::size_t places = 0;   // at which the layer stands
    std::vector<Shape> runs;  // in their order
    std::size_t told = 0;     // of them
  };
  const std::vector<NamedLayer> layers = engine_layers(model);
  std::map<const Layer*, Seen> seen;
  std::vector<TapHandle> handles;
  for (const auto& [name, layer] : layers) {
    Seen& of_layer = seen[layer.get()];
    if (++of_layer.places > 1) continue;
    handles.push_back(
        layer->add_tap({.request = {.tensors = true, .training = false, .evaluation = true},
                        .deliver = [&runs = of_layer.runs](const TapReading& reading) {
                          runs.push_back(reading.input.sizes().vec());
                        }}));
  }
  {
    const torch::NoGradGuard no_grad;
    const PlainExecution plainly;
    const Evaluating evaluating(model);
    model.forward(batch);
  }
  std::vector<LayerInput> inputs;
  for (const auto& [name, layer] : layers) {
    Seen& of_layer = seen.at(layer.get());
    std::vector<Shape> shapes;
    if (of_layer.runs.size() == of_layer.places) {
      shapes = {of_layer.runs[of_layer.told++]};  // it runs once at each place
    } else {
      for (const Shape& shape : of_layer.runs)
        if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
    }
    if (shapes.empty()) shapes.emplace_back();
    for (const Shape& shape : shapes) {
      const std::string at = shapes.size() > 1 ? " at " + shape_text(shape) : "";
      inputs.push_back({name + at, layer, shape, inputs.empty()});
    }
  }
  return inputs;
}

}  // namespace fatwood
