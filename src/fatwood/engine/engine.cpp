#include <torch/torch.h>

#include <fatwood/core/error.h>
#include <fatwood/engine/engine.h>
#include <fatwood/engine/fused_runner.h>

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

void use_engine(torch::nn::Module& model, Engine engine, kernels::Isa isa) {
  model.apply([&](torch::nn::Module& module) {
    auto* layers = dynamic_cast<Sequential*>(&module);
    if (!layers) return;
    layers->set_runner(engine == Engine::fused ? std::make_shared<FusedRunner>(isa) : nullptr);
  });
}

std::vector<PlanRow> describe_plan(const torch::nn::Module& model) {
  std::vector<PlanRow> rows;
  const auto describe = [&](const std::string& path, const torch::nn::Module& module) {
    const auto* layers = dynamic_cast<const Sequential*>(&module);
    if (!layers) return;
    for (std::size_t i = 0; i < layers->size(); ++i) {
      const Layer& layer = *(*layers)[i];
      if (dynamic_cast<const Sequential*>(&layer)) continue;  // its own layers have rows
      PlanRow row{(path.empty() ? "" : path + ".") + std::to_string(i), layer.kind(), false, {}};
      row.fused = translate(layer, row.reason).has_value();
      rows.push_back(std::move(row));
    }
  };
  describe("", model);
  for (const auto& item : model.named_modules("", false)) describe(item.key(), *item.value());
  return rows;
}

}  // namespace fatwood
