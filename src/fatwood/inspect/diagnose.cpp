#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <sstream>

#include <fatwood/core/text.h>
#include <fatwood/inspect/diagnose.h>

namespace fatwood {
namespace {

using namespace diagnosis;
using Found = std::optional<Finding>;

std::string figure(double value) {
  std::ostringstream text;
  text.precision(3);
  text << value;
  return text.str();
}

std::size_t layer_count(const DiagnosisInput& input) {
  return input.stats.empty() ? 0 : input.stats.front().std.size();
}

// The head is known only where the statistics are of all layers.
bool is_head(const DiagnosisInput& input, std::size_t layer) {
  return layer + 1 == input.layers.size() && layer_count(input) == input.layers.size();
}

std::string name_of_layer(const DiagnosisInput& input, std::size_t layer) {
  if (layer_count(input) == input.layers.size()) return input.layers[layer].name;
  return "layer " + std::to_string(layer);
}

bool usable(const DiagnosisInput& input, const StatsRow& row) {
  return row.mode == Mode::training && row.std.size() == layer_count(input) &&
         row.mean.size() == row.std.size();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A stretch of rows in which one layer shows something.
struct Stretch {
  std::size_t layer = 0;
  std::int64_t first_step = 0, last_step = 0;
  std::size_t rows = 0;
  double peak = 0;  // the largest measure in it
};

using Measure =
    std::function<std::optional<double>(const StatsRow& row, std::size_t layer)>;  // nullopt: well

// The first stretch of `least` rows with a measure; `counts` says which rows can have one. Of
// layers that start together the first in the network.
std::optional<Stretch> first_stretch(const DiagnosisInput& input, std::size_t least,
                                     const std::function<bool(const StatsRow&)>& counts,
                                     const Measure& measure) {
  std::vector<const StatsRow*> rows;
  for (const StatsRow& row : input.stats) {
    if (usable(input, row) && counts(row)) rows.push_back(&row);
  }
  std::optional<Stretch> best;
  for (std::size_t layer = 0; layer < layer_count(input); ++layer) {
    Stretch current{.layer = layer};
    const auto settle = [&] {
      if (current.rows >= least && (!best || current.first_step < best->first_step)) best = current;
      current = {.layer = layer};
    };
    for (const StatsRow* row : rows) {
      const auto value = measure(*row, layer);
      if (!value) {
        settle();
        continue;
      }
      if (current.rows++ == 0) current.first_step = row->step;
      current.last_step = row->step;
      current.peak = std::max(current.peak, *value);
    }
    settle();
  }
  return best;
}

bool any_row(const StatsRow&) {
  return true;
}

Finding finding(const DiagnosisInput& input, const Stretch& stretch, std::string what,
                std::string advice) {
  return {.rule = {},
          .layer = name_of_layer(input, stretch.layer),
          .first_step = stretch.first_step,
          .last_step = stretch.last_step,
          .what = std::move(what),
          .advice = std::move(advice)};
}

// The run of moving medians of the training loss; `step` is that of a window's last batch.
struct SmoothLoss {
  std::int64_t step;
  double loss, lr;
};
std::vector<SmoothLoss> smooth_losses(const DiagnosisInput& input) {
  std::vector<const BatchRow*> rows;
  for (const BatchRow& row : input.batches) {
    if (row.mode == Mode::training && std::isfinite(row.loss)) rows.push_back(&row);
  }
  std::vector<SmoothLoss> smooth;
  for (std::size_t end = kLossWindow; end <= rows.size(); ++end) {
    std::vector<double> window;
    for (std::size_t i = end - kLossWindow; i < end; ++i) window.push_back(rows[i]->loss);
    smooth.push_back({rows[end - 1]->step, median(std::move(window)), rows[end - 1]->lr});
  }
  return smooth;
}

Found not_finite(const DiagnosisInput& input) {
  Found found;
  const auto earlier = [&found](std::int64_t step) { return !found || step < found->first_step; };
  const char* advice =
      "A lower learning rate or --clip-grad keeps the weights in range; when it is step 0, look "
      "for numbers that are not finite in the data or the weights it starts from.";
  for (const StatsRow& row : input.stats) {
    if (!usable(input, row) || !earlier(row.step)) continue;
    for (std::size_t layer = 0; layer < row.std.size(); ++layer) {
      if (std::isfinite(row.std[layer]) && std::isfinite(row.mean[layer])) continue;
      found = finding(input, {.layer = layer, .first_step = row.step, .last_step = row.step},
                      "the output holds numbers that are not finite", advice);
      break;
    }
  }
  for (const BatchRow& row : input.batches) {
    if (row.mode != Mode::training || std::isfinite(row.loss) || !earlier(row.step)) continue;
    found = {.rule = {},
             .layer = {},
             .first_step = row.step,
             .last_step = row.step,
             .what = "the loss is not finite",
             .advice = advice};
  }
  if (!found && input.end && input.end->status == "diverged") {
    found = {.rule = {},
             .layer = {},
             .first_step = input.end->step,
             .last_step = input.end->step,
             .what = "the run diverged: " + input.end->reason,
             .advice = advice};
  }
  return found;
}

// Share of near-zero activations, where the few others carry the signal or there is none at all.
std::optional<double> dead_share(const StatsRow& row, std::size_t layer) {
  if (layer >= row.hist.size() || row.hist[layer].empty()) return std::nullopt;
  const std::vector<std::int64_t>& counts = row.hist[layer];
  const double width = 10.0 / static_cast<double>(counts.size());
  const double total = std::accumulate(
      counts.begin(), counts.end(), 0.0,
      [](double sum, std::int64_t count) { return sum + static_cast<double>(count); });
  if (total <= 0) return std::nullopt;
  const double share = static_cast<double>(counts[0]) / total;
  if (share < kDeadShare) return std::nullopt;
  const double energy = row.mean[layer] * row.mean[layer] + row.std[layer] * row.std[layer];
  if (!std::isfinite(energy)) return std::nullopt;
  if (energy < 1e-12) return share;
  double live = 0;
  for (std::size_t i = 1; i < counts.size(); ++i) {
    const double middle = (static_cast<double>(i) + 0.5) * width;
    live += static_cast<double>(counts[i]) * middle * middle / total;
  }
  // Values beyond the histogram are in `energy` alone; what lies in the first bin is bounded.
  const double near_zero = std::min(std::max(0.0, energy - live), share * width * width);
  return near_zero <= (1 - kLiveEnergy) * energy ? std::optional(share) : std::nullopt;
}

Found dead_units(const DiagnosisInput& input) {
  const auto stretch = first_stretch(
      input, kHistograms, [](const StatsRow& row) { return !row.hist.empty(); },
      [&input](const StatsRow& row, std::size_t layer) {
        return is_head(input, layer) ? std::nullopt : dead_share(row, layer);
      });
  if (!stretch) return std::nullopt;
  return finding(
      input, *stretch,
      fixed(100 * stretch->peak, 0) +
          "% of the activations are near zero (|x| < 0.25): most units no longer respond",
      "Try a lower learning rate, a slope below zero (GeneralReLU with a > 0), "
      "init_leaky_weights or lsuv, or a norm after the layer.");
}

Found exploding_deviation(const DiagnosisInput& input) {
  const auto stretch =
      first_stretch(input, kRows, any_row, [&input](const StatsRow& row, std::size_t layer) {
        const double std = row.std[layer];
        return std >= kHighDeviation && std::isfinite(std) && !is_head(input, layer)
                   ? std::optional(std)
                   : std::nullopt;
      });
  if (!stretch) return std::nullopt;
  return finding(input, *stretch,
                 "the output's deviation reaches " + figure(stretch->peak) + ", wanted about 1",
                 stretch->first_step == input.stats.front().step
                     ? "It starts so: initialise by init_leaky_weights or lsuv, normalise the "
                       "input, or put a norm after the layer."
                     : "It grew in training: try a lower learning rate, --clip-grad, or a norm "
                       "after the layer.");
}

Found vanishing_deviation(const DiagnosisInput& input) {
  const auto stretch =
      first_stretch(input, kRows, any_row, [&input](const StatsRow& row, std::size_t layer) {
        const double std = row.std[layer];
        return std > 0 && std <= kLowDeviation && !is_head(input, layer) ? std::optional(1 / std)
                                                                         : std::nullopt;
      });
  if (!stretch) return std::nullopt;
  return finding(input, *stretch,
                 "the output's deviation falls to " + figure(1 / stretch->peak) +
                     ", wanted about 1: little of the input gets through",
                 "Initialise by init_leaky_weights or lsuv, put a norm after the layer, or lower "
                 "the weight decay.");
}

Found saturating_head(const DiagnosisInput& input) {
  // The loss at each step of the statistics, smoothed; saturated and right is well.
  const std::vector<SmoothLoss> losses = smooth_losses(input);
  const auto loss_at = [&losses](std::int64_t step) -> std::optional<double> {
    const auto after =
        std::lower_bound(losses.begin(), losses.end(), step,
                         [](const SmoothLoss& loss, std::int64_t s) { return loss.step < s; });
    if (after == losses.end()) return std::nullopt;
    return after->loss;
  };
  const auto stretch = first_stretch(
      input, kRows, any_row, [&](const StatsRow& row, std::size_t layer) -> std::optional<double> {
        if (!is_head(input, layer) || !(row.std[layer] >= kSaturatedLogits)) return std::nullopt;
        const auto loss = loss_at(row.step);
        return loss && *loss > kLossOfSaturated ? std::optional(row.std[layer]) : std::nullopt;
      });
  if (!stretch) return std::nullopt;
  return finding(input, *stretch,
                 "the logits' deviation reaches " + figure(stretch->peak) +
                     " while the loss stays above " + figure(kLossOfSaturated) +
                     ": softmax is all or nothing and often wrong",
                 "Try a lower learning rate, more weight decay on the head, or a norm before it.");
}

Found learning_rate_too_high(const DiagnosisInput& input) {
  const std::vector<SmoothLoss> losses = smooth_losses(input);
  if (losses.empty()) return std::nullopt;
  double low = losses.front().loss;
  for (const BatchRow& row : input.batches) {  // the first window may hold the damage already
    if (row.mode == Mode::training && std::isfinite(row.loss)) {
      low = std::min(low, row.loss);
      break;
    }
  }
  std::optional<SmoothLoss> first, worst;
  double low_before = low;
  std::int64_t last_step = 0;
  for (const SmoothLoss& now : losses) {
    low = std::min(low, now.loss);
    if (now.loss < kComeback * low + kComebackNats) continue;
    if (!first) {
      first = now;
      low_before = low;
    }
    if (!worst || now.loss > worst->loss) worst = now;
    last_step = now.step;
  }
  if (!first || !worst) return std::nullopt;
  return Finding{.rule = {},
                 .layer = {},
                 .first_step = first->step,
                 .last_step = last_step,
                 .what = "the loss had come down to " + figure(low_before) +
                         " and went back up to " + figure(worst->loss) + " (medians of " +
                         std::to_string(kLossWindow) + " batches) at learning rate " +
                         figure(first->lr),
                 .advice = "Try --lr " + figure(first->lr / 3) +
                           " or what `fatwood lr-find` suggests; a warm-up or --clip-grad if it "
                           "happens at the start only."};
}

Found no_progress(const DiagnosisInput& input) {
  const std::vector<SmoothLoss> losses = smooth_losses(input);
  if (losses.empty()) return std::nullopt;
  // First logits are often too certain: coming down from them to chance is no progress.
  const std::int64_t settled = losses.front().step + kSettling;
  if (losses.back().step - settled < kPatience) return std::nullopt;
  double start = losses.front().loss, lowest = start, highest = start, highest_lr = 0;
  for (const SmoothLoss& now : losses) {
    if (now.step <= settled) start = std::min(start, now.loss);
    lowest = std::min(lowest, now.loss);
    highest = std::max(highest, now.loss);
    highest_lr = std::max(highest_lr, now.lr);
  }
  if (!(start > 0) || lowest <= (1 - kProgress) * start) return std::nullopt;
  return Finding{.rule = {},
                 .layer = {},
                 .first_step = losses.front().step,
                 .last_step = losses.back().step,
                 .what = "the loss stays between " + figure(lowest) + " and " + figure(highest) +
                         " at learning rates up to " + figure(highest_lr),
                 .advice =
                     "`fatwood lr-find` tells whether the rate is too low or too high; look "
                     "also whether labels belong to their images."};
}

constexpr std::array kRules{
    DiagnosisRule{"not-finite", not_finite},
    DiagnosisRule{"dead-units", dead_units},
    DiagnosisRule{"exploding-deviation", exploding_deviation},
    DiagnosisRule{"vanishing-deviation", vanishing_deviation},
    DiagnosisRule{"saturating-head", saturating_head},
    DiagnosisRule{"learning-rate-too-high", learning_rate_too_high},
    DiagnosisRule{"no-progress", no_progress},
};

}  // namespace

std::span<const DiagnosisRule> diagnosis_rules() {
  return kRules;
}

std::vector<Finding> diagnose(const DiagnosisInput& input) {
  std::vector<Finding> findings;
  for (const DiagnosisRule& rule : kRules) {
    Found found = rule.find(input);
    if (!found) continue;
    found->rule = rule.name;
    findings.push_back(std::move(*found));
  }
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.first_step < b.first_step; });
  return findings;
}

}  // namespace fatwood
