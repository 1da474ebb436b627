// Summary: what each layer of a network does to a batch's shape and what it costs.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/model/layer.h>

namespace fatwood {

struct LayerSummary {
  std::string name;                 ///< "layers.0"
  std::string kind;                 ///< "Conv"
  std::vector<std::int64_t> input;  ///< shapes, batch dimension first
  std::vector<std::int64_t> output;
  std::int64_t params = 0;
  std::int64_t macs =
      0;  ///< multiply–accumulates per sample of its convolutions and matrix products
  std::int64_t activation_bytes = 0;  ///< of the output, for the whole batch
  double page_mflops = 0;             ///< the page's figure, which undercounts: see to_markdown
};

struct Summary {
  std::vector<std::int64_t> input;
  std::vector<LayerSummary> layers;
  std::int64_t params_total = 0;  ///< of the model, parts that are no layer included
  std::int64_t macs_total = 0;    ///< per sample
};

/// One forward pass of `batch` in evaluation mode without gradients; the model's mode and running
/// statistics stay as they are. Multiply–accumulates are counted at LibTorch's operators, so any
/// module counts, and taps that fall on padding count as they do elsewhere.
/// Throws Error{model} when the model has no layers to show or the batch does not fit.
Summary summarize(Layer& model, const Tensor& batch);

/// Chosen layers of the model; each must run once in a forward pass.
Summary summarize(Layer& model, const std::vector<NamedLayer>& layers, const Tensor& batch);

enum class SummaryForm {
  full,    ///< with exact multiply–accumulates and bytes of activations
  page,    ///< the page's columns: `Output` without the batch dimension, and its MFlops
  shapes,  ///< the page's columns without MFlops: `shape(model)`
};

/// As a Markdown table with a total.
///
/// The page's MFlops: Σ over the layer's parameters of numel × H_out × W_out where the parameter
/// has three or more dimensions, else numel, in millions. A block's first convolution runs at the
/// input's resolution, which that undercounts.
std::string to_markdown(const Summary& summary, SummaryForm form = SummaryForm::full);

/// shape(model, batch): the page's call.
std::string shape(Layer& model, const Tensor& batch);

/// `summary.json` of a run folder (docs/run-folder.md).
nlohmann::json to_json(const Summary& summary);

}  // namespace fatwood
