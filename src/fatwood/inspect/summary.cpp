#include <algorithm>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/inspect/summary.h>
#include <fatwood/inspect/work_counter.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/model/state.h>

namespace fatwood {
namespace {

double page_mflops(const Layer& layer, const Tensor& output) {
  const std::int64_t pixels = output.dim() >= 4 ? output.size(-1) * output.size(-2) : 1;
  std::int64_t flops = 0;
  for (const auto& [name, parameter] : named_parameters(layer)) {
    flops += parameter.numel() * (parameter.dim() >= 3 ? pixels : 1);
  }
  return static_cast<double>(flops) / 1e6;
}

// Evaluation mode while one lives.
class EvaluationMode {
 public:
  explicit EvaluationMode(Layer& model) : model_(model), was_training_(model.is_training()) {
    model.eval();
  }
  ~EvaluationMode() { model_.train(was_training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Layer& model_;
  bool was_training_;
};

}  // namespace

Summary summarize(Layer& model, const Tensor& batch) {
  return summarize(model, model.layers(), batch);
}

Summary summarize(Layer& model, const std::vector<NamedLayer>& layers, const Tensor& batch) {
  if (layers.empty())
    throw Error(ErrorKind::model, "summarize", model.kind() + " has no layers to show");
  const torch::NoGradGuard no_grad;
  const PlainExecution plain;
  const EvaluationMode evaluation(model);
  Summary summary{
      .input = batch.sizes().vec(), .layers = {}, .params_total = count_parameters(model)};

  WorkCounter work;
  std::vector<TapHandle> taps;
  summary.layers.resize(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto record = [&summary, &work, &layers, i](const TapReading& reading) {
      const NamedLayer& part = layers[i];
      summary.layers[i] = {.name = part.name,
                           .kind = part.layer->kind(),
                           .input = reading.input.sizes().vec(),
                           .output = reading.output.sizes().vec(),
                           .params = count_parameters(*part.layer),
                           .macs = work.take() / std::max<std::int64_t>(reading.input.size(0), 1),
                           .activation_bytes = static_cast<std::int64_t>(reading.output.nbytes()),
                           .page_mflops = page_mflops(*part.layer, reading.output)};
    };
    taps.push_back(layers[i].layer->add_tap(
        {.request = {.tensors = true, .training = false, .evaluation = true},
         .deliver = record,
         .before = [&work] { work.take(); }}));
  }
  model.forward(batch);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (summary.layers[i].kind.empty()) {
      throw Error(ErrorKind::model, "summarize",
                  layers[i].name + " did not run in the forward pass");
    }
    summary.macs_total += summary.layers[i].macs;
  }
  return summary;
}

std::string to_markdown(const Summary& summary, SummaryForm form) {
  std::vector<Column> columns{{"Type"}, {"Input"}, {"Output"}, {"N. params"}};
  if (form == SummaryForm::full) {
    columns.insert(columns.begin(), {"Layer"});
    columns.insert(columns.end(), {{"MMACs"}, {"Activation KiB"}});
  }
  if (form == SummaryForm::page) columns.push_back({"MFlops"});
  TextTable table(columns);
  std::int64_t bytes = 0;
  for (const LayerSummary& layer : summary.layers) {
    torch::IntArrayRef output = layer.output;
    if (form != SummaryForm::full && !output.empty()) output = output.slice(1);
    std::vector<std::string> cells{layer.kind, shape_text(layer.input), shape_text(output),
                                   with_commas(layer.params)};
    if (form == SummaryForm::full) {
      cells.insert(cells.begin(), layer.name);
      cells.push_back(fixed(static_cast<double>(layer.macs) / 1e6, 3));
      cells.push_back(fixed(static_cast<double>(layer.activation_bytes) / 1024, 0));
      bytes += layer.activation_bytes;
    }
    if (form == SummaryForm::page) cells.push_back(fixed(layer.page_mflops, 1));
    table.add(std::move(cells));
  }
  std::vector<std::string> total{"Total", "", "", with_commas(summary.params_total)};
  if (form == SummaryForm::full) {
    total.insert(total.begin() + 1, "");
    total.push_back(fixed(static_cast<double>(summary.macs_total) / 1e6, 3));
    total.push_back(fixed(static_cast<double>(bytes) / 1024, 0));
  }
  if (form == SummaryForm::page) total.push_back("");
  table.add(std::move(total));
  return table.markdown();
}

std::string shape(Layer& model, const Tensor& batch) {
  return to_markdown(summarize(model, batch), SummaryForm::shapes);
}

nlohmann::json to_json(const Summary& summary) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerSummary& layer : summary.layers) {
    layers.push_back({{"name", layer.name},
                      {"kind", layer.kind},
                      {"input", layer.input},
                      {"output", layer.output},
                      {"params", layer.params},
                      {"macs", layer.macs},
                      {"activation_bytes", layer.activation_bytes}});
  }
  return {{"input", summary.input},
          {"layers", std::move(layers)},
          {"params_total", summary.params_total},
          {"macs_total", summary.macs_total}};
}

}  // namespace fatwood
