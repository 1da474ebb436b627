#include <fatwood/core/error.h>
#include <fatwood/engine/engine.h>
#include <fatwood/engine/fused_runner.h>
#include <fatwood/engine/translate.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>
#include <fatwood/model/threads.h>

namespace fatwood {

std::string_view name_of(Engine engine) {
  return engine == Engine::torch ? "torch" : "fused";
}

Engine engine_named(std::string_view name) {
  for (Engine engine : {Engine::torch, Engine::fused}) {
    if (name_of(engine) == name) return engine;
  }
  throw Error(ErrorKind::usage, "engine",
              "--engine: found \"" + std::string(name) + "\", wanted torch or fused");
}

kernels::Precision precision_named(std::string_view name, Engine engine) {
  if (name == "none") return kernels::Precision::f32;
  if (name != "bf16") {
    throw Error(ErrorKind::usage, "engine",
                "--amp: found \"" + std::string(name) + "\", wanted none or bf16");
  }
  if (engine != Engine::fused) {
    throw Error(ErrorKind::usage, "engine",
                "--amp bf16: found --engine " + std::string(name_of(engine)) +
                    ", wanted --engine fused, whose kernels have bf16");
  }
  return kernels::Precision::bf16;
}

void use_engine(torch::nn::Module& model, Engine engine, kernels::Isa isa, KernelChoice choice,
                kernels::Precision precision) {
  const auto install = [&](Sequential& layers) {
    layers.set_runner(
        engine == Engine::fused ? std::make_shared<FusedRunner>(isa, choice, precision) : nullptr);
  };
  model.apply([&](torch::nn::Module& module) {
    if (auto* layers = dynamic_cast<Sequential*>(&module)) install(*layers);
    if (auto* network = dynamic_cast<ResNet*>(&module)) install(*network->sequence());
  });
}

namespace {

/// The layers that an engine may take over, one by one.
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

/// The shape that each layer was given; empty for one that did not run.
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

/// One layer's kernels in words. They do not depend on the batch size, so a single group will do.
std::string kernels_of(const TranslatedLayer& layer, const std::vector<std::int64_t>& input,
                       kernels::Isa isa, kernels::Precision precision) {
  kernels::StretchOptions options;
  options.batch = kernels::lanes_of(isa);
  options.input = {static_cast<int>(input[1]), static_cast<int>(input[2]),
                   static_cast<int>(input[3])};
  options.isa = isa;
  options.precision = precision;
  return kernels::Stretch({layer.spec}, options).describe(0);
}

}  // namespace

std::vector<PlanRow> describe_plan(const torch::nn::Module& model, kernels::Precision precision) {
  std::vector<NamedLayer> layers;
  collect("", model, layers);
  std::vector<PlanRow> rows;
  for (const auto& [name, layer] : layers) {
    PlanRow& row = rows.emplace_back(PlanRow{.name = name, .kind = layer->kind()});
    const auto translated = translate(*layer, row.reason);
    row.fused = translated.has_value();
    if (translated) row.precision = precision_for(translated->spec, precision);
  }
  return rows;
}

std::vector<PlanRow> describe_plan(Layer& model, const Tensor& batch, kernels::Isa isa,
                                   kernels::Precision precision) {
  std::vector<NamedLayer> layers;
  collect("", model, layers);
  const auto inputs = inputs_of(model, batch, layers);
  std::vector<PlanRow> rows;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    PlanRow& row =
        rows.emplace_back(PlanRow{.name = layers[i].name, .kind = layers[i].layer->kind()});
    const auto translated = translate(*layers[i].layer, row.reason);
    if (!translated) continue;
    if (inputs[i].size() != 4) {
      row.reason = "its input was not seen as (N, C, H, W)";
      continue;
    }
    row.reason = why_not_kernels(translated->spec, inputs[i][0], isa, torch_threads().threads());
    row.fused = row.reason.empty();
    if (!row.fused) continue;
    row.precision = precision_for(translated->spec, precision);
    row.kernels = kernels_of(*translated, inputs[i], isa, row.precision);
    if (row.precision != precision) row.kernels = "f32, having no bf16 kernels: " + row.kernels;
  }
  return rows;
}

}  // namespace fatwood
