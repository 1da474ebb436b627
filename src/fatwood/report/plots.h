// The plots of a run as Vega-Lite specifications in the look of ggplot, the style that the page
// uses: each is a whole document, data included, for the report, for `fatwood plot`, for a notebook
// or the Vega editor. Numbers have four digits and long curves are thinned without losing peaks.
#pragma once

#include <span>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/report/run_record.h>

namespace fatwood {

/// A Vega-Lite 6 document.
using Spec = nlohmann::ordered_json;

/// Training loss per batch, raw and smoothed, and evaluation loss per epoch; several runs overlaid.
Spec loss_plot(std::span<const RunRecord> runs);

/// The first metric besides the loss, per epoch, in training and evaluation; several runs overlaid.
Spec metric_plot(std::span<const RunRecord> runs);

/// Learning rate and momentum at every batch; several runs overlaid.
Spec schedule_plot(std::span<const RunRecord> runs);

/// Two panels, Mean and STD: the activations of every layer at every training batch.
Spec mean_std_plot(const RunRecord& run);

/// A heat map per layer: time across, |activation| upwards, log(1 + count) as colour.
Spec hist_plot(const RunRecord& run);

/// Share of activations with |x| < 0.5 per layer; without a summary, which tells how many there
/// are, of those within the histogram's range.
Spec near_zero_plot(const RunRecord& run);

/// Loss over the learning rate (logarithmic) with the suggestions marked.
Spec lr_find_plot(const LrFindRecord& found);

/// True class down, predicted class across.
Spec confusion_plot(const PredictionsRecord& predictions);

/// The samples as pictures with what they are and what the model took them for.
Spec samples_plot(std::span<const PredictedSample> samples, std::span<const std::string> classes,
                  std::string_view title);

/// Parameters and multiply–accumulates by layer.
Spec parameters_plot(const SummaryRecord& summary);

/// The first bins of a 40-bin histogram over [0, 10] that count as near zero.
inline constexpr std::size_t kNearZeroBins = 2;

/// A plot by its name on the command line.
struct PlotKind {
  std::string_view name;   ///< "mean-std"
  std::string_view title;  ///< "Mean and deviation of activations by layer"
  bool several_runs;       ///< overlays all runs; others show the first
  bool (*has_data)(const RunRecord& run);
  Spec (*make)(std::span<const RunRecord> runs);
};

/// Every plot, in the order in which the report shows them.
std::span<const PlotKind> plot_kinds();

}  // namespace fatwood
