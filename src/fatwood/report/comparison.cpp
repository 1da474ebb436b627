#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fatwood/core/text.h>
#include <fatwood/report/comparison.h>
#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

// Options that say where a run writes or how it is watched, not what it computes.
constexpr std::array<std::string_view, 10> kIncidental = {
    "seed",   "output",      "experiment", "overwrite", "resume",
    "config", "tensorboard", "no-plot",    "quiet",     "stats"};

bool incidental(std::string_view name) {
  return std::find(kIncidental.begin(), kIncidental.end(), name) != kIncidental.end();
}

}  // namespace

Spread spread_of(std::span<const double> values) {
  Spread spread{.n = values.size()};
  if (values.empty()) return spread;
  for (const double value : values) spread.mean += value / static_cast<double>(values.size());
  if (values.size() < 2) return spread;
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  spread.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return spread;
}

std::string text_of(const Spread& spread, int decimals) {
  if (spread.n == 0) return "";
  const std::string mean = fixed(spread.mean, decimals);
  return spread.n == 1 ? mean : mean + " ± " + fixed(spread.deviation, decimals);
}

std::string option_of(const RunRecord& run, const std::string& name) {
  for (const auto& [option, value] : run.options)
    if (option == name) return value;
  return "";
}

std::vector<std::string> differing_options(std::span<const RunRecord> runs) {
  std::vector<std::string> names;
  for (const RunRecord& run : runs) {
    for (const auto& [name, value] : run.options) {
      if (incidental(name) || std::find(names.begin(), names.end(), name) != names.end()) continue;
      const bool differs = std::any_of(runs.begin(), runs.end(), [&, &option = name](auto& other) {
        return option_of(other, option) != option_of(runs.front(), option);
      });
      if (differs) names.push_back(name);
    }
  }
  return names;
}

std::vector<RunGroup> groups_of(std::span<const RunRecord> runs) {
  const std::vector<std::string> options = differing_options(runs);
  std::vector<RunGroup> groups;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::string label = runs[i].run.model;
    for (const std::string& name : options) {
      if (name == "model") continue;
      const std::string value = option_of(runs[i], name);
      label += (label.empty() ? "" : ", ") + name + " " + (value.empty() ? "unset" : value);
    }
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [&](const RunGroup& known) { return known.label == label; });
    if (group != groups.end()) {
      group->members.push_back(i);
    } else {
      groups.push_back({label, {i}});
    }
  }
  return groups;
}

std::optional<double> final_value(const RunRecord& run, Mode mode, const std::string& metric) {
  for (auto row = run.epochs.rbegin(); row != run.epochs.rend(); ++row) {
    if (row->mode != mode) continue;
    for (const auto& [name, value] : row->metrics)
      if (name == metric) return value;
  }
  return std::nullopt;
}

}  // namespace fatwood
