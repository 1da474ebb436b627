#include <fatwood/core/error.h>
#include <fatwood/model/sequential.h>

namespace fatwood {

thread_local int PlainExecution::depth_ = 0;

Sequential::Sequential(const Options& layers) {
  for (const LayerPtr& layer : layers) push_back(layer);
}

void Sequential::push_back(LayerPtr layer) {
  if (!layer)
    throw Error(ErrorKind::model, "Sequential", "layer " + std::to_string(size()) + " is null");
  register_module(std::to_string(layers_.size()), layer);
  layers_.push_back(std::move(layer));
}

std::vector<NamedLayer> Sequential::layers() const {
  std::vector<NamedLayer> named;
  named.reserve(layers_.size());
  for (std::size_t i = 0; i < layers_.size(); ++i) named.push_back({std::to_string(i), layers_[i]});
  return named;
}

LayerPtr Sequential::remake() const {
  Options fresh;
  for (const LayerPtr& layer : layers_) fresh.push_back(layer->remake());
  return make<Sequential>(fresh);
}

Tensor Sequential::compute(const Tensor& x) {
  // A copy: a layer, or a tap, may install another runner while this one runs.
  const std::shared_ptr<SequenceRunner> runner = runner_;
  return runner && !PlainExecution::active() ? runner->run(*this, x) : run_layers(x);
}

Tensor Sequential::run_layers(Tensor x) {
  for (const LayerPtr& layer : layers_) x = layer->forward(x);
  return x;
}

std::vector<NamedLayer> with_prefix(const std::string& prefix, std::vector<NamedLayer> layers) {
  for (NamedLayer& layer : layers) layer.name = prefix + "." + layer.name;
  return layers;
}

}  // namespace fatwood
