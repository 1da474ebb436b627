#include <cmath>
#include <optional>

#include <fatwood/core/error.h>
#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/inspect/lsuv.h>
#include <fatwood/inspect/model_snapshot.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {
namespace {

constexpr double kConstant = 1e-7;  // a deviation below it is rounding

// What a layer's output is changed by: `scaled` are divided by the deviation, and from `shifted`,
// which is one of them or undefined, the mean is subtracted.
struct Knobs {
  std::vector<Tensor> scaled;
  Tensor shifted;
};

Knobs knobs_of(const Conv& conv) {
  if (conv.norm) return {{conv.norm->weight, conv.norm->bias}, conv.norm->bias};
  return {{conv.weight, conv.bias}, conv.bias};
}

std::optional<Knobs> knobs_of(const Layer& layer) {
  if (const auto* conv = dynamic_cast<const Conv*>(&layer)) return knobs_of(*conv);
  if (const auto* block = dynamic_cast<const DoubleConvBlock*>(&layer))
    return knobs_of(*block->conv_b);
  if (const auto* block = dynamic_cast<const ResidualConvBlock*>(&layer)) {
    Knobs knobs = knobs_of(*block->conv_b);
    if (block->options().c_in != block->options().c_out)
      knobs.scaled.insert(knobs.scaled.end(), {block->id_conv->weight, block->id_conv->bias});
    return knobs;
  }
  // Any module with a weight, or a weight and a bias, and no more: torch's own, adapted.
  const NamedTensors parameters = named_parameters(layer);
  if (parameters.empty() || parameters.size() > 2) return std::nullopt;
  Knobs knobs;
  for (const auto& [name, parameter] : parameters) {
    if (name.ends_with("bias")) {
      knobs.shifted = parameter;
    } else if (!name.ends_with("weight")) {
      return std::nullopt;
    }
    knobs.scaled.push_back(parameter);
  }
  return knobs;
}

// The layers in the order in which their outputs come about: parts before what holds them.
void collect(const NamedLayer& part, std::vector<NamedLayer>& units) {
  const std::vector<NamedLayer> inner = part.layer->layers();
  for (NamedLayer below : inner) {
    below.name = part.name + "." + below.name;
    collect(below, units);
  }
  if (!inner.empty()) return;
  LayerPtr first;
  if (const auto* block = dynamic_cast<const DoubleConvBlock*>(part.layer.get()))
    first = block->conv_a;
  if (const auto* block = dynamic_cast<const ResidualConvBlock*>(part.layer.get()))
    first = block->conv_a;
  if (first) units.push_back({part.name + ".conv_a", first});
  if (count_parameters(*part.layer) > 0) units.push_back(part);
}

class Balancer {
 public:
  Balancer(Layer& model, const Tensor& batch, const LsuvOptions& options)
      : model_(model), batch_(batch), options_(options) {}

  LsuvRow run(const NamedLayer& unit) {
    LsuvRow row{.name = unit.name, .kind = unit.layer->kind(), .remark = {}};
    measure(unit);
    row.mean_before = mean_;
    row.std_before = std_;
    const auto knobs = knobs_of(*unit.layer);
    if (!knobs) {
      row.remark = "it has no weight and bias of its own that scale its output";
    } else {
      balance(unit, *knobs, row);
    }
    row.mean = mean_;
    row.std = std_;
    return row;
  }

 private:
  void balance(const NamedLayer& unit, const Knobs& knobs, LsuvRow& row) {
    std::vector<Tensor> before;
    for (const Tensor& knob : knobs.scaled)
      before.push_back(knob.defined() ? knob.detach().clone() : Tensor());
    const auto put_back = [&] {
      for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i].defined()) Tensor(knobs.scaled[i]).copy_(before[i]);
      }
      measure(unit);
    };
    const bool center = options_.center && knobs.shifted.defined();
    if (center) {
      if (iterate(unit, knobs, /*center=*/true, row)) return;
      put_back();
    }
    if (!iterate(unit, knobs, /*center=*/false, row)) {
      row.remark = std_ < kConstant
                       ? "its output is constant"
                       : "its deviation is not 1 after " + std::to_string(options_.max_iterations) +
                             " changes: left as it was";
      put_back();
      row.iterations = 0;
    } else if (options_.center && !(std::abs(mean_) <= options_.tolerance)) {
      row.remark = center ? "its mean cannot be brought to 0" : "it has no bias: its mean stays";
    }
  }

  // Whether the output came within the tolerance.
  bool iterate(const NamedLayer& unit, const Knobs& knobs, bool center, LsuvRow& row) {
    for (row.iterations = 0;; ++row.iterations) {
      const bool well = std::abs(std_ - 1) <= options_.tolerance &&
                        (!center || std::abs(mean_) <= options_.tolerance);
      if (well) return true;
      if (row.iterations == options_.max_iterations || std_ < kConstant) return false;
      if (center) Tensor(knobs.shifted).sub_(mean_);
      for (const Tensor& knob : knobs.scaled) {
        if (knob.defined()) knob.div_(std_);
      }
      measure(unit);
    }
  }

  void measure(const NamedLayer& unit) {
    bool served = false;
    const TapHandle tap = unit.layer->add_tap(
        {.request = {.moments = true}, .deliver = [&](const TapReading& reading) {
           mean_ = reading.statistics->mean;
           std_ = reading.statistics->std;
           served = true;
         }});
    model_.forward(batch_);
    if (!served)
      throw Error(ErrorKind::model, "lsuv", unit.name + " did not run when the model did");
    if (!std::isfinite(mean_) || !std::isfinite(std_)) {
      throw Error(ErrorKind::model, "lsuv",
                  unit.name + ": its output has mean " + std::to_string(mean_) + " and deviation " +
                      std::to_string(std_) + ", wanted finite numbers");
    }
  }

  Layer& model_;
  const Tensor& batch_;
  const LsuvOptions& options_;
  double mean_ = 0, std_ = 0;  // of the last measurement
};

void check(const LsuvOptions& options) {
  if (!(std::isfinite(options.tolerance) && options.tolerance > 0)) {
    throw Error(ErrorKind::usage, "lsuv",
                "tolerance " + std::to_string(options.tolerance) + ", wanted above 0");
  }
  if (options.max_iterations < 1) {
    throw Error(ErrorKind::usage, "lsuv",
                std::to_string(options.max_iterations) + " iterations, wanted 1 or more");
  }
}

}  // namespace

std::vector<LsuvRow> lsuv(Layer& model, const Tensor& batch, const LsuvOptions& options) {
  check(options);
  std::vector<NamedLayer> units;
  for (const NamedLayer& part : model.layers()) collect(part, units);
  if (units.empty()) {
    throw Error(ErrorKind::model, "lsuv",
                model.kind() + " has no layers with parameters, wanted one or more");
  }
  const torch::NoGradGuard no_grad;
  const ModelSnapshot snapshot(model);
  std::vector<LsuvRow> rows;
  try {
    model.train();
    Balancer balancer(model, batch, options);
    for (const NamedLayer& unit : units) rows.push_back(balancer.run(unit));
  } catch (...) {
    snapshot.restore();
    throw;
  }
  snapshot.restore_all_but_parameters();
  return rows;
}

std::string to_markdown(const std::vector<LsuvRow>& rows) {
  TextTable table({{"Layer"},
                   {"Type"},
                   {"Mean before", Align::right},
                   {"STD before", Align::right},
                   {"Mean", Align::right},
                   {"STD", Align::right},
                   {"Changes", Align::right},
                   {"Remark"}});
  for (const LsuvRow& row : rows) {
    table.add({row.name, row.kind, fixed(row.mean_before, 3), fixed(row.std_before, 3),
               fixed(row.mean, 3), fixed(row.std, 3), std::to_string(row.iterations), row.remark});
  }
  return table.markdown();
}

void Lsuv::before_fit(Run& run) {
  rows_.clear();
  if (run.step > 0 || run.evaluation_only) return;
  Batch batch = run.loaders.train->get(run.epoch, run.batch_index);
  batch.x = batch.x.to(run.device);
  batch.y = batch.y.to(run.device);
  if (prepare) batch = prepare(batch);
  rows_ = lsuv(*run.model, batch.x, options_);
  if (report) report(rows_);
}

}  // namespace fatwood
