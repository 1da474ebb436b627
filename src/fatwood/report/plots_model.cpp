// The model, its predictions, and the learning-rate finder; and the table of all plots.
#include <algorithm>
#include <array>
#include <cmath>

#include <fatwood/report/png.h>
#include <fatwood/report/vega_spec.h>

namespace fatwood {
namespace {

constexpr std::size_t kMaxNumberedClasses = 20;

std::span<const std::string> classes_of(const RunRecord& run) {
  if (run.predictions && !run.predictions->classes.empty()) return run.predictions->classes;
  return run.classes;
}

}  // namespace

Spec lr_find_plot(const LrFindRecord& found) {
  Curve curve{found.lr, found.loss};
  double low = std::numeric_limits<double>::infinity();
  for (const double loss : found.loss)
    if (std::isfinite(loss)) low = std::min(low, loss);
  Spec suggestions = Spec::array();
  for (const auto& [name, lr] : found.suggestions) {
    if (lr > 0 && std::isfinite(lr)) suggestions.push_back({{"name", name}, {"lr", number(lr)}});
  }
  Spec spec = document("Learning-rate finder",
                       "Loss over the learning rate on a logarithmic axis, with the suggested "
                       "learning rates marked.");
  spec["width"] = 640;
  spec["height"] = 280;
  const Spec x{{"type", "quantitative"},
               {"scale", {{"type", "log"}, {"nice", false}}},
               {"title", "learning rate"},
               {"axis", {{"format", ".0e"}}}};
  Spec x_line = x;
  x_line["field"] = "x";
  Spec x_rule = x;
  x_rule["field"] = "lr";
  Spec line{
      {"data", {{"values", {packed(curve, Spec::object())}}}},
      {"transform", unpacked()},
      {"mark", {{"type", "line"}, {"clip", true}, {"point", {{"size", 18}}}}},
      {"encoding",
       {{"x", x_line},
        {"y",
         {{"field", "y"},
          {"type", "quantitative"},
          {"title", "loss"},
          {"scale", {{"zero", false}}}}},
        {"tooltip",
         {{{"field", "x"}, {"title", "learning rate"}}, {{"field", "y"}, {"title", "loss"}}}}}}};
  const Spec rule{{"data", {{"values", suggestions}}},
                  {"mark", {{"type", "rule"}, {"strokeDash", {4, 3}}, {"strokeWidth", 2}}},
                  {"encoding",
                   {{"x", x_rule},
                    {"color", {{"field", "name"}, {"type", "nominal"}, {"title", nullptr}}},
                    {"tooltip",
                     {{{"field", "name"}, {"title", "suggestion"}},
                      {{"field", "lr"}, {"title", "learning rate"}}}}}}};
  spec["layer"] = {line, rule};
  return spec;
}

Spec confusion_plot(const PredictionsRecord& predictions) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < predictions.confusion.size(); ++i)
    names.push_back(class_name(predictions.classes, static_cast<std::int64_t>(i)));
  Spec values = Spec::array();
  for (std::size_t t = 0; t < names.size(); ++t) {
    for (std::size_t p = 0; p < names.size(); ++p)
      values.push_back({{"t", names[t]}, {"p", names[p]}, {"n", predictions.confusion[t][p]}});
  }
  Spec spec = document("Confusion matrix",
                       "How many samples of each true class were taken for each class.");
  spec["data"] = {{"values", values}};
  spec["width"] = 460;
  spec["height"] = {{"step", 34}};
  const Spec x{{"field", "p"},
               {"type", "nominal"},
               {"sort", names},
               {"title", "predicted"},
               {"axis", {{"labelAngle", -45}, {"labelLimit", 110}}}};
  const Spec y{{"field", "t"}, {"type", "nominal"}, {"sort", names}, {"title", "true"}};
  spec["encoding"] = {{"x", x}, {"y", y}};
  // Mistakes are few beside the diagonal: symlog keeps them visible.
  Spec cells{{"mark", "rect"},
             {"encoding",
              {{"color",
                {{"field", "n"},
                 {"type", "quantitative"},
                 {"title", "samples"},
                 {"scale", {{"type", "symlog"}, {"constant", 10}, {"scheme", "blues"}}},
                 {"legend", nullptr}}},
               {"tooltip",
                {{{"field", "t"}, {"title", "true"}},
                 {{"field", "p"}, {"title", "predicted"}},
                 {{"field", "n"}, {"title", "samples"}}}}}}};
  spec["layer"] = Spec::array({cells});
  if (names.size() <= kMaxNumberedClasses) {
    std::int64_t most = 1;
    for (const auto& row : predictions.confusion)
      for (const std::int64_t n : row) most = std::max(most, n);
    spec["layer"].push_back(
        {{"mark", {{"type", "text"}, {"fontSize", 11}}},
         {"encoding",
          {{"text", {{"field", "n"}, {"type", "quantitative"}}},
           {"color",
            {{"condition", {{"test", "datum.n > " + std::to_string(most / 4)}, {"value", "white"}}},
             {"value", "#1A2B3C"}}}}}});
  }
  return spec;
}

Spec samples_plot(std::span<const PredictedSample> samples, std::span<const std::string> classes,
                  std::string_view title) {
  constexpr std::size_t kAcross = 4;
  constexpr int kSide = 84;
  Spec values = Spec::array();
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const PredictedSample& sample = samples[i];
    if (sample.pixels.empty()) continue;
    const std::string label = class_name(classes, sample.label);
    const std::string predicted = class_name(classes, sample.predicted);
    values.push_back(
        {{"column", i % kAcross},
         {"row", i / kAcross},
         {"image", png_data_uri(sample.channels, sample.height, sample.width, sample.pixels)},
         {"caption", label == predicted ? label : label + " → " + predicted},
         {"index", sample.index},
         {"probability", number(sample.probability)},
         {"loss", number(sample.loss)}});
  }
  Spec spec = document(title,
                       "Samples as pictures, each with its true class and, where they "
                       "differ, the class it was taken for.");
  spec["data"] = {{"values", values}};
  spec["width"] = {{"step", 150}};
  spec["height"] = {{"step", 120}};
  spec["view"] = {{"fill", nullptr}};
  const Spec axis{{"type", "ordinal"}, {"axis", nullptr}};
  Spec x = axis;
  x["field"] = "column";
  Spec y = axis;
  y["field"] = "row";
  spec["encoding"] = {{"x", x}, {"y", y}};
  spec["layer"] = {{{"mark",
                     {{"type", "image"},
                      {"width", kSide},
                      {"height", kSide},
                      {"yOffset", -10},
                      {"smooth", false}}},
                    {"encoding",
                     {{"url", {{"field", "image"}}},
                      {"tooltip",
                       {{{"field", "index"}, {"title", "sample"}},
                        {{"field", "caption"}, {"title", "true → predicted"}},
                        {{"field", "probability"}, {"title", "probability"}},
                        {{"field", "loss"}, {"title", "loss"}}}}}}},
                   {{"mark", {{"type", "text"}, {"dy", 44}, {"fontSize", 11}, {"limit", 146}}},
                    {"encoding", {{"text", {{"field", "caption"}}}}}}};
  return spec;
}

Spec parameters_plot(const SummaryRecord& summary) {
  Spec values = Spec::array();
  std::vector<std::string> names;
  for (std::size_t i = 0; i < summary.layers.size(); ++i) {
    const LayerRecord& layer = summary.layers[i];
    names.push_back(std::to_string(i) + " " + layer.kind);
    values.push_back({{"layer", names.back()}, {"quantity", "Parameters"}, {"n", layer.params}});
    values.push_back({{"layer", names.back()},
                      {"quantity", "Multiply–accumulates per sample"},
                      {"n", layer.macs}});
  }
  Spec spec = document("Parameters and work by layer",
                       "Number of parameters and multiply–accumulates of each layer, as bars.");
  spec["data"] = {{"values", values}};
  spec["facet"] = {{"field", "quantity"},
                   {"type", "nominal"},
                   {"title", nullptr},
                   {"sort", {"Parameters", "Multiply–accumulates per sample"}}};
  spec["columns"] = 2;
  spec["resolve"] = {{"scale", {{"x", "independent"}}}};
  spec["spec"] = {
      {"width", 260},
      {"height", {{"step", 26}}},
      {"encoding",
       {{"y", {{"field", "layer"}, {"type", "nominal"}, {"sort", names}, {"title", nullptr}}},
        {"x",
         {{"field", "n"},
          {"type", "quantitative"},
          {"title", nullptr},
          {"axis", {{"format", "~s"}, {"tickCount", 4}}}}}}},
      {"layer",
       {{{"mark", {{"type", "bar"}}},
         {"encoding",
          {{"color",
            {{"field", "quantity"},
             {"type", "nominal"},
             {"sort", {"Parameters"}},
             {"legend", nullptr}}},
           {"tooltip",
            {{{"field", "layer"}, {"title", "layer"}},
             {{"field", "quantity"}, {"title", "quantity"}},
             {{"field", "n"}, {"title", "number"}, {"format", ","}}}}}}},
        {{"mark", {{"type", "text"}, {"align", "left"}, {"dx", 4}, {"fontSize", 10}}},
         {"encoding", {{"text", {{"field", "n"}, {"format", ".3~s"}}}}}}}}};
  return spec;
}

std::span<const PlotKind> plot_kinds() {
  static constexpr auto has_batches = [](const RunRecord& run) { return !run.batches.empty(); };
  static constexpr auto has_histograms = [](const RunRecord& run) {
    return std::any_of(run.stats.begin(), run.stats.end(),
                       [](const StatsRow& row) { return !row.hist.empty(); });
  };
  static constexpr std::array<PlotKind, 11> kinds = {{
      {"loss", "Loss", true, has_batches, loss_plot},
      {"metric", "Metric by epoch", true,
       [](const RunRecord& run) {
         return !run.epochs.empty() && run.epochs.front().metrics.size() > 1;
       },
       metric_plot},
      {"schedule", "Learning rate and momentum", true, has_batches, schedule_plot},
      {"mean-std", "Mean and deviation of activations", false,
       [](const RunRecord& run) { return !run.stats.empty(); },
       [](std::span<const RunRecord> runs) { return mean_std_plot(runs.front()); }},
      {"hist", "Histograms of activations", false, has_histograms,
       [](std::span<const RunRecord> runs) { return hist_plot(runs.front()); }},
      {"near-zero", "Share of near-zero activations", false, has_histograms,
       [](std::span<const RunRecord> runs) { return near_zero_plot(runs.front()); }},
      {"lr-find", "Learning-rate finder", false,
       [](const RunRecord& run) { return run.lr_find && !run.lr_find->lr.empty(); },
       [](std::span<const RunRecord> runs) { return lr_find_plot(*runs.front().lr_find); }},
      {"parameters", "Parameters and work by layer", false,
       [](const RunRecord& run) { return run.summary && !run.summary->layers.empty(); },
       [](std::span<const RunRecord> runs) { return parameters_plot(*runs.front().summary); }},
      {"confusion", "Confusion matrix", false,
       [](const RunRecord& run) { return run.predictions && !run.predictions->confusion.empty(); },
       [](std::span<const RunRecord> runs) { return confusion_plot(*runs.front().predictions); }},
      {"worst", "Worst predictions", false,
       [](const RunRecord& run) { return run.predictions && !run.predictions->worst.empty(); },
       [](std::span<const RunRecord> runs) {
         return samples_plot(runs.front().predictions->worst, classes_of(runs.front()),
                             "Worst predictions");
       }},
      {"best", "Best predictions", false,
       [](const RunRecord& run) { return run.predictions && !run.predictions->best.empty(); },
       [](std::span<const RunRecord> runs) {
         return samples_plot(runs.front().predictions->best, classes_of(runs.front()),
                             "Best predictions");
       }},
  }};
  return kinds;
}

}  // namespace fatwood
