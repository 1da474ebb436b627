// What the layers' outputs do over the training steps.
#include <algorithm>
#include <cmath>

#include <fatwood/report/vega_spec.h>

namespace fatwood {
namespace {

constexpr std::size_t kMaxColumns = 60;  // of a heat map: each is a rectangle per bin

std::size_t layer_count(const RunRecord& run) {
  std::size_t count = 0;
  for (const StatsRow& row : run.stats) {
    if (row.mode == Mode::training)
      count = std::max({count, row.mean.size(), row.std.size(), row.hist.size()});
  }
  return count;
}

std::vector<const StatsRow*> rows_with_histograms(const RunRecord& run) {
  std::vector<const StatsRow*> rows;
  for (const StatsRow& row : run.stats)
    if (row.mode == Mode::training && !row.hist.empty()) rows.push_back(&row);
  return rows;
}

// Values of each layer's output for one sample; 0 where the summary does not say.
std::vector<double> output_sizes(const RunRecord& run, std::size_t layers) {
  std::vector<double> sizes(layers);
  if (!run.summary || run.summary->layers.size() != layers) return sizes;
  for (std::size_t i = 0; i < layers; ++i) {
    const std::vector<std::int64_t>& shape = run.summary->layers[i].output;
    if (shape.size() < 2) continue;
    sizes[i] = 1;
    for (std::size_t k = 1; k < shape.size(); ++k) sizes[i] *= static_cast<double>(shape[k]);
  }
  return sizes;
}

double batch_size_at(const RunRecord& run, std::int64_t step) {
  const auto row =
      std::lower_bound(run.batches.begin(), run.batches.end(), step,
                       [](const BatchRow& batch, std::int64_t s) { return batch.step < s; });
  return row != run.batches.end() && row->step == step ? static_cast<double>(row->size) : 0;
}

double at_or_nan(const std::vector<double>& values, std::size_t i) {
  return i < values.size() ? values[i] : std::numeric_limits<double>::quiet_NaN();
}

// Of `values` in all, or of those in the histogram where they are more.
double near_zero_share(const StatsRow& row, std::size_t layer, double values) {
  double near = 0;
  double total = 0;
  const auto& counts = row.hist[layer];
  for (std::size_t b = 0; b < counts.size(); ++b) {
    const auto count = static_cast<double>(std::max<std::int64_t>(counts[b], 0));
    total += count;
    if (b < kNearZeroBins) near += count;
  }
  // The histogram leaves out what lies beyond its top, and what is no number.
  if (!std::isnan(at_or_nan(row.mean, layer))) total = std::max(total, values);
  return total > 0 ? near / total : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Spec mean_std_plot(const RunRecord& run) {
  const std::size_t layers = layer_count(run);
  const std::vector<std::string> names = layer_names(layers);
  Spec values = Spec::array();
  for (std::size_t i = 0; i < layers; ++i) {
    Curve mean;
    Curve std;
    for (const StatsRow& row : run.stats) {
      if (row.mode != Mode::training) continue;
      mean.add(static_cast<double>(row.step), at_or_nan(row.mean, i));
      std.add(static_cast<double>(row.step), at_or_nan(row.std, i));
    }
    values.push_back(packed(mean, {{"layer", names[i]}, {"quantity", "Mean"}}));
    values.push_back(packed(std, {{"layer", names[i]}, {"quantity", "STD"}}));
  }
  Spec spec = document("Mean and deviation of activations",
                       "Mean and standard deviation of every layer's output at every training "
                       "step: two panels, a line per layer.");
  spec["data"] = {{"values", values}};
  spec["transform"] = unpacked();
  spec["facet"] = {{"field", "quantity"}, {"type", "nominal"}, {"title", nullptr}};
  spec["columns"] = 2;
  spec["resolve"] = {{"scale", {{"y", "independent"}}}};
  spec["spec"] = {
      {"width", 300},
      {"height", 240},
      {"params", {legend_pick("pick", "layer")}},
      {"mark", {{"type", "line"}, {"strokeWidth", 1.4}, {"tooltip", {{"content", "data"}}}}},
      {"encoding",
       {{"x", steps_axis()},
        {"y",
         {{"field", "y"},
          {"type", "quantitative"},
          {"title", nullptr},
          {"scale", {{"zero", false}}}}},
        {"color", ordered_colour("layer", names, "")},
        {"tooltip", {{{"field", "layer"}, {"title", "layer"}}}},
        {"opacity", picked_opacity("pick", 1, 0.08)}}}};
  return spec;
}

Spec hist_plot(const RunRecord& run) {
  const std::size_t layers = layer_count(run);
  const std::vector<std::string> names = layer_names(layers);
  const std::vector<const StatsRow*> rows = rows_with_histograms(run);
  // Neighbouring steps share a column when there are too many; counts are averaged.
  const std::size_t merge = (rows.size() + kMaxColumns - 1) / kMaxColumns;
  std::size_t bins = 0;
  for (const StatsRow* row : rows)
    for (const auto& counts : row->hist) bins = std::max(bins, counts.size());

  Spec values = Spec::array();
  for (std::size_t first = 0; first < rows.size(); first += std::max<std::size_t>(merge, 1)) {
    const std::size_t last = std::min(first + merge, rows.size());
    const std::int64_t begin = rows[first]->step;
    std::int64_t end = begin + 1;
    if (last < rows.size()) {
      end = rows[last]->step;
    } else if (rows.size() > 1) {
      end = rows[last - 1]->step + (rows[last - 1]->step - rows[last - 2]->step);
    }
    for (std::size_t layer = 0; layer < layers; ++layer) {
      std::vector<double> counts(bins);
      double columns = 0;
      for (std::size_t k = first; k < last; ++k) {
        if (layer >= rows[k]->hist.size()) continue;
        ++columns;
        for (std::size_t b = 0; b < rows[k]->hist[layer].size(); ++b)
          counts[b] += static_cast<double>(std::max<std::int64_t>(rows[k]->hist[layer][b], 0));
      }
      if (columns == 0) continue;
      Spec heights = Spec::array();
      for (const double count : counts) {
        // Three digits are finer than the eye, and shorter.
        const double height = rounded(std::log1p(count / columns), 3);
        heights.push_back(number(height));
      }
      values.push_back({{"layer", names[layer]}, {"x", begin}, {"x2", end}, {"h", heights}});
    }
  }
  const double width = bins > 0 ? kHistogramTop / static_cast<double>(bins) : 1;
  Spec spec = document("Histograms of activations",
                       "For every layer, a heat map of the absolute values of its output: time "
                       "across, value upwards, logarithm of the count as colour.");
  spec["data"] = {{"values", std::move(values)}};
  const std::string bin_width = Spec(width).dump();
  spec["transform"] = {
      {{"flatten", {"h"}}},
      {{"window", {{{"op", "row_number"}, {"as", "n"}}}}, {"groupby", {"layer", "x"}}},
      {{"calculate", "(datum.n - 1) * " + bin_width}, {"as", "b"}},
      {{"calculate", "(datum.n + 0.1) * " + bin_width}, {"as", "b2"}},
      // A little overlap: edges that fall inside a pixel would show as seams.
      {{"calculate", "datum.x2 + 0.1 * (datum.x2 - datum.x)"}, {"as", "x2"}}};
  spec["facet"] = {{"field", "layer"}, {"type", "nominal"}, {"title", nullptr}, {"sort", names}};
  spec["columns"] = 3;
  spec["spec"] = {
      {"width", 200},
      {"height", 160},
      {"mark", {{"type", "rect"}, {"clip", true}}},
      {"encoding",
       {{"x", steps_axis()},
        {"x2", {{"field", "x2"}}},
        {"y",
         {{"field", "b"},
          {"type", "quantitative"},
          {"title", "|activation|"},
          {"scale", {{"nice", false}, {"domain", {0, kHistogramTop}}}}}},
        {"y2", {{"field", "b2"}}},
        {"color",
         {{"field", "h"},
          {"type", "quantitative"},
          {"title", "log(1 + count)"},
          {"scale", {{"scheme", "viridis"}}},
          {"legend", {{"type", "gradient"}, {"gradientLength", 180}, {"orient", "bottom"}}}}},
        {"tooltip",
         {{{"field", "layer"}, {"title", "layer"}},
          {{"field", "x"}, {"title", "from step"}},
          {{"field", "b"}, {"title", "from |x|"}, {"format", ".2f"}},
          {{"field", "h"}, {"title", "log(1 + count)"}}}}}}};
  return spec;
}

Spec near_zero_plot(const RunRecord& run) {
  const std::size_t layers = layer_count(run);
  const std::vector<std::string> names = layer_names(layers);
  const std::vector<const StatsRow*> rows = rows_with_histograms(run);
  const std::vector<double> sizes = output_sizes(run, layers);
  Spec values = Spec::array();
  for (std::size_t layer = 0; layer < layers; ++layer) {
    Curve share;
    for (const StatsRow* row : rows) {
      if (layer >= row->hist.size()) continue;
      share.add(static_cast<double>(row->step),
                near_zero_share(*row, layer, sizes[layer] * batch_size_at(run, row->step)));
    }
    values.push_back(packed(share, {{"layer", names[layer]}}));
  }
  Spec spec = document("Share of near-zero activations",
                       "For every layer, the share of its output's values below 0.5 in absolute "
                       "value, over the training steps.");
  spec["data"] = {{"values", values}};
  spec["transform"] = unpacked();
  spec["width"] = 640;
  spec["height"] = 240;
  spec["params"] = Spec::array({legend_pick("pick", "layer")});
  spec["mark"] = {{"type", "line"}};
  spec["encoding"] = {{"x", steps_axis()},
                      {"y",
                       {{"field", "y"},
                        {"type", "quantitative"},
                        {"title", "share of |x| < 0.5"},
                        {"axis", {{"format", "%"}}},
                        {"scale", {{"domain", {0, 1}}}}}},
                      {"color", ordered_colour("layer", names, "")},
                      {"tooltip", {{{"field", "layer"}, {"title", "layer"}}}},
                      {"opacity", picked_opacity("pick", 1, 0.08)}};
  return spec;
}

}  // namespace fatwood
