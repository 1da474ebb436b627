// Loss, metric and schedule: what several runs can share a plot for.
#include <algorithm>
#include <cmath>

#include <fatwood/report/vega_spec.h>

namespace fatwood {
namespace {

constexpr double kSmoothing = 0.9;
constexpr std::string_view kBatch = "training, per batch";
constexpr std::string_view kSmoothed = "training, smoothed";
constexpr std::string_view kEvaluation = "evaluation, per epoch";
constexpr std::string_view kTrainEpoch = "training, per epoch";

double metric_of(const EpochRow& row, std::string_view name) {
  for (const auto& [metric, value] : row.metrics)
    if (metric == name) return value;
  return std::numeric_limits<double>::quiet_NaN();
}

Curve per_epoch(const RunRecord& run, Mode mode, std::string_view metric, bool by_step) {
  Curve curve;
  for (const EpochRow& row : run.epochs) {
    if (row.mode == mode)
      curve.add(static_cast<double>(by_step ? row.step : row.epoch), metric_of(row, metric));
  }
  return curve;
}

// Divergence spans orders of magnitude, which a linear axis would squeeze into one spike.
bool needs_log(std::span<const RunRecord> runs) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  for (const RunRecord& run : runs) {
    for (const BatchRow& row : run.batches) {
      if (!std::isfinite(row.loss)) continue;
      if (row.loss <= 0) return false;
      low = std::min(low, row.loss);
      high = std::max(high, row.loss);
    }
  }
  return high > 200 * low;
}

std::string_view main_metric(std::span<const RunRecord> runs) {
  for (const RunRecord& run : runs) {
    for (const MetricInfo& metric : run.run.metrics)
      if (metric.name != "loss") return metric.name;
  }
  return "";
}

// Invisible points that show a tooltip where the pointer is nearest.
Spec hover_layer(const Spec& encoding, Spec filter, const Spec& tooltip) {
  Spec layer{{"transform", {{{"filter", std::move(filter)}}}},
             {"params",
              {{{"name", "hover"},
                {"select",
                 {{"type", "point"},
                  {"on", "pointermove"},
                  {"clear", "pointerout"},
                  {"nearest", true},
                  {"encodings", {"x"}}}}}}},
             {"mark", {{"type", "point"}, {"filled", true}, {"size", 60}}},
             {"encoding", encoding}};
  layer["encoding"]["opacity"] = {
      {"condition", {{"param", "hover"}, {"empty", false}, {"value", 1}}}, {"value", 0}};
  layer["encoding"]["tooltip"] = tooltip;
  return layer;
}

}  // namespace

Spec loss_plot(std::span<const RunRecord> runs) {
  const bool several = runs.size() > 1;
  const std::vector<std::string> names = run_names(runs);
  Spec values = Spec::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Curve batches;
    for (const BatchRow& row : runs[i].batches)
      batches.add(static_cast<double>(row.step), row.loss);
    const auto add = [&](const Curve& curve, std::string_view kind) {
      if (curve.size() > 0) values.push_back(packed(curve, {{"run", names[i]}, {"kind", kind}}));
    };
    if (!several) add(batches, kBatch);
    add(smoothed(batches, kSmoothing), kSmoothed);
    add(per_epoch(runs[i], Mode::evaluation, "loss", true), kEvaluation);
  }

  const std::string_view by = several ? "run" : "kind";
  const std::vector<std::string> order =
      several ? names
              : std::vector<std::string>{std::string(kBatch), std::string(kSmoothed),
                                         std::string(kEvaluation)};
  Spec colour = series_colour(by, order, "");
  // The raw curve stays in the background, in grey; the colours are the two that matter.
  if (!several) colour["scale"]["range"] = {"#9A9A9A", "#E24A33", "#348ABD"};
  Spec y{{"field", "y"}, {"type", "quantitative"}, {"title", "loss"}, {"scale", {{"zero", false}}}};
  if (needs_log(runs)) y["scale"] = {{"type", "log"}};
  const Spec encoding{{"x", steps_axis()},
                      {"y", y},
                      {"color", colour},
                      {"detail", {{{"field", "run"}}, {{"field", "kind"}}}}};
  const auto is = [](std::string_view kind) {
    return Spec("datum.kind === '" + std::string(kind) + "'");
  };
  const auto line = [&](std::string_view kind, Spec mark, const Spec& opacity) {
    mark["type"] = "line";
    Spec layer{{"transform", {{{"filter", is(kind)}}}}, {"mark", mark}};
    if (!opacity.is_null()) layer["encoding"]["opacity"] = opacity;
    return layer;
  };

  Spec spec = document("Loss", several ? "Training loss by step, smoothed, and evaluation loss by "
                                         "epoch (dashed) of several runs."
                                       : "Training loss by step, raw and smoothed, and evaluation "
                                         "loss at the end of every epoch.");
  spec["data"] = {{"values", values}};
  spec["transform"] = unpacked();
  spec["width"] = 640;
  spec["height"] = 300;
  spec["encoding"] = encoding;
  Spec layers = Spec::array();
  if (!several)
    layers.push_back(line(kBatch, {{"strokeWidth", 1}}, picked_opacity("pick", 0.8, 0.05)));
  layers.push_back(line(kSmoothed, {{"strokeWidth", 2}}, picked_opacity("pick", 1, 0.1)));
  layers.push_back(line(kEvaluation,
                        {{"strokeDash", {6, 3}}, {"point", {{"filled", true}, {"size", 60}}}},
                        picked_opacity("pick", 1, 0.1)));
  layers[0]["params"] = Spec::array({legend_pick("pick", by)});
  layers.push_back(hover_layer(Spec::object(), is(kSmoothed),
                               {{{"field", "run"}, {"title", "run"}},
                                {{"field", "x"}, {"title", "step"}},
                                {{"field", "y"}, {"title", "loss, smoothed"}}}));
  spec["layer"] = layers;
  return spec;
}

Spec metric_plot(std::span<const RunRecord> runs) {
  const bool several = runs.size() > 1;
  const std::vector<std::string> names = run_names(runs);
  const std::string metric(main_metric(runs));
  bool fraction = false;
  for (const RunRecord& run : runs) {
    for (const MetricInfo& info : run.run.metrics) {
      if (info.name == metric) fraction = info.unit == "fraction";
    }
  }
  Spec values = Spec::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const Mode mode : {Mode::training, Mode::evaluation}) {
      const Curve curve = per_epoch(runs[i], mode, metric, false);
      if (curve.size() == 0) continue;
      values.push_back(packed(
          curve,
          {{"run", names[i]}, {"kind", mode == Mode::training ? kTrainEpoch : kEvaluation}}));
    }
  }
  const std::vector<std::string> kinds = {std::string(kTrainEpoch), std::string(kEvaluation)};
  Spec colour = several ? series_colour("run", names, "") : series_colour("kind", kinds, "");
  std::int64_t last_epoch = 0;
  for (const RunRecord& run : runs)
    for (const EpochRow& row : run.epochs) last_epoch = std::max(last_epoch, row.epoch);
  // A format of whole numbers would make Vega thin the ticks out; one epoch alone would be
  // 0.000000.
  Spec axis{{"labelExpr", "format(datum.value, 'd')"}};
  // A short axis would repeat its whole numbers.
  if (last_epoch < 12) {
    axis["values"] = Spec::array();
    for (std::int64_t i = 0; i <= last_epoch; ++i) axis["values"].push_back(i);
  }
  Spec spec = document("By epoch: " + metric, "The metric " + metric +
                                                  " at the end of every epoch, in training and "
                                                  "evaluation.");
  spec["data"] = {{"values", values}};
  spec["transform"] = unpacked();
  spec["width"] = 640;
  spec["height"] = 300;
  spec["params"] = Spec::array({legend_pick("pick", several ? "run" : "kind")});
  spec["mark"] = {{"type", "line"}, {"point", {{"filled", true}, {"size", 60}}}};
  spec["encoding"] = {
      {"x",
       {{"field", "x"},
        {"type", "quantitative"},
        {"title", "epoch"},
        {"axis", axis},
        {"scale", {{"nice", false}, {"padding", 12}}}}},
      {"y",
       {{"field", "y"}, {"type", "quantitative"}, {"title", metric}, {"scale", {{"zero", false}}}}},
      {"color", colour},
      {"strokeDash",
       {{"field", "kind"},
        {"type", "nominal"},
        {"scale", {{"domain", kinds}, {"range", {{1, 0}, {6, 3}}}}},
        {"title", nullptr}}},
      {"detail", {{"field", "run"}}},
      {"opacity", picked_opacity("pick", 1, 0.1)},
      {"tooltip",
       {{{"field", "run"}, {"title", "run"}},
        {{"field", "kind"}, {"title", "pass"}},
        {{"field", "x"}, {"title", "epoch"}},
        {{"field", "y"}, {"title", metric}}}}};
  if (fraction) spec["encoding"]["y"]["axis"] = {{"format", ".1%"}};
  return spec;
}

Spec schedule_plot(std::span<const RunRecord> runs) {
  const std::vector<std::string> names = run_names(runs);
  Spec values = Spec::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Curve lr;
    Curve momentum;
    for (const BatchRow& row : runs[i].batches) {
      lr.add(static_cast<double>(row.step), row.lr);
      momentum.add(static_cast<double>(row.step), row.momentum);
    }
    if (lr.size() == 0) continue;
    values.push_back(packed(lr, {{"run", names[i]}, {"quantity", "Learning rate"}}));
    values.push_back(packed(momentum, {{"run", names[i]}, {"quantity", "Momentum"}}));
  }
  Spec spec = document("Learning rate and momentum",
                       "Learning rate and momentum of the optimiser at every step.");
  spec["data"] = {{"values", values}};
  spec["transform"] = unpacked();
  spec["facet"] = {{"field", "quantity"}, {"type", "nominal"}, {"title", nullptr}};
  spec["columns"] = 2;
  spec["resolve"] = {{"scale", {{"y", "independent"}}}};
  Spec encoding{{"x", steps_axis()},
                {"y",
                 {{"field", "y"},
                  {"type", "quantitative"},
                  {"title", nullptr},
                  {"scale", {{"zero", false}}}}},
                {"color", series_colour("run", names, "")}};
  if (runs.size() == 1) encoding["color"]["legend"] = nullptr;
  const Spec tooltip{{{"field", "run"}, {"title", "run"}},
                     {{"field", "x"}, {"title", "step"}},
                     {{"field", "y"}, {"title", "value"}}};
  spec["spec"] = {
      {"width", 300},
      {"height", 200},
      {"layer",
       {{{"mark", "line"}, {"encoding", encoding}}, hover_layer(encoding, "true", tooltip)}}};
  return spec;
}

}  // namespace fatwood
