#include <fatwood/core/error.h>
#include <fatwood/engine/engine.h>
#include <fatwood/engine/fused_runner.h>
#include <fatwood/engine/layer_inputs.h>
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
                kernels::Precision precision, TuningPtr tuning, kernels::WinogradUse winograd) {
  const auto install = [&](Sequential& layers) {
    layers.set_runner(engine == Engine::fused
                          ? std::make_shared<FusedRunner>(isa, choice, precision, tuning, winograd)
                          : nullptr);
  };
  model.apply([&](torch::nn::Module& module) {
    if (auto* layers = dynamic_cast<Sequential*>(&module)) install(*layers);
    if (auto* network = dynamic_cast<ResNet*>(&module)) install(*network->sequence());
  });
}

namespace {

/// One layer's kernels in words. They do not depend on the batch size, so a single group will do.
std::string kernels_of(const TranslatedLayer& layer, const std::vector<std::int64_t>& input,
                       kernels::Isa isa, kernels::Precision precision, bool input_gradient,
                       kernels::WinogradUse winograd) {
  kernels::StretchOptions options;
  options.batch = kernels::lanes_of(isa);
  options.input = image_of(input);
  options.isa = isa;
  options.input_gradient = input_gradient;
  options.precision = precision;
  options.winograd = winograd;
  return kernels::Stretch({layer.spec}, options).describe(0);
}

}  // namespace

std::vector<PlanRow> describe_plan(const torch::nn::Module& model, kernels::Precision precision) {
  std::vector<PlanRow> rows;
  for (const auto& [name, layer] : engine_layers(model)) {
    PlanRow& row = rows.emplace_back(PlanRow{.name = name, .kind = layer->kind()});
    const auto translated = translate(*layer, row.reason);
    row.fused = translated.has_value();
    if (translated) row.precision = precision_for(translated->spec, precision);
  }
  return rows;
}

std::vector<PlanRow> describe_plan(Layer& model, const Tensor& batch, kernels::Isa isa,
                                   kernels::Precision precision, const TuningPtr& tuning,
                                   kernels::WinogradUse winograd) {
  std::vector<PlanRow> rows;
  for (const auto& [name, layer, input, first] : layers_with_inputs(model, batch)) {
    PlanRow& row = rows.emplace_back(PlanRow{.name = name, .kind = layer->kind()});
    const auto translated = translate(*layer, row.reason);
    if (!translated) continue;
    if (input.size() != 4) {
      row.reason = "its input was not seen as (N, C, H, W)";
      continue;
    }
    const Choice choice = choose(translated->spec, image_of(input), input[0], isa,
                                 torch_threads().threads(), precision, tuning.get());
    if (choice.entry) row.tuned = describe(*choice.entry);
    row.reason = choice.reason;
    row.fused = choice.kernels;
    if (!row.fused) continue;
    row.precision = precision_for(translated->spec, precision);
    // The batch itself needs no gradient; what other layers make does.
    row.kernels =
        kernels_of(*translated, input, isa, row.precision, /*input_gradient=*/!first, winograd);
    if (row.precision != precision) row.kernels = "f32, having no bf16 kernels: " + row.kernels;
  }
  return rows;
}

std::string describe_tuning(Layer& model, const Tensor& sample,
                            const std::vector<std::int64_t>& batches, kernels::Isa isa,
                            kernels::Precision precision, const TuningPtr& tuning) {
  std::string text;
  if (!tuning || tuning->entries().empty()) return text;
  const int threads = torch_threads().threads();
  std::string reason;
  for (const LayerInput& at : layers_with_inputs(model, sample)) {
    const auto translated = translate(*at.layer, reason);
    if (!translated || at.shape.size() != 4) continue;
    for (const std::int64_t batch : batches) {
      const auto on_kernels = [&](const kernels::TuningTable* table) {
        return choose(translated->spec, image_of(at.shape), batch, isa, threads, precision, table)
            .kernels;
      };
      const bool tuned = on_kernels(tuning.get());
      if (tuned == on_kernels(nullptr)) continue;
      text +=
          at.name + " at " + std::to_string(batch) + ": " + (tuned ? "kernels" : "LibTorch") + "\n";
    }
  }
  return text;
}

}  // namespace fatwood
