#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>
#include <system_error>

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

std::string text_named(const NamedTexts& texts, const std::string& name) {
  for (const auto& [known, text] : texts)
    if (known == name) return text;
  return "";
}

// Names whose texts are not the same in all of `runs`.
std::vector<std::string> differing_names(const std::vector<NamedTexts>& runs) {
  std::vector<std::string> names;
  for (const NamedTexts& texts : runs) {
    for (const auto& [name, text] : texts) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      const bool differs = std::any_of(runs.begin(), runs.end(), [&, &key = name](auto& other) {
        return text_named(other, key) != text_named(runs.front(), key);
      });
      if (differs) names.push_back(name);
    }
  }
  return names;
}

std::string group_label(const RunRecord& run, const std::vector<std::string>& options,
                        const std::vector<std::string>& facts) {
  std::string label = run.run.model;
  const auto add = [&label](const std::string& name, const std::string& value) {
    label += (label.empty() ? "" : ", ") + name + " " + (value.empty() ? "unset" : value);
  };
  for (const std::string& name : options)
    if (name != "model") add(name, option_of(run, name));
  for (const std::string& name : facts) add(name, fact_of(run, name));
  return label;
}

// The run's folder however it was named; empty for a record that was read from none.
std::filesystem::path place_of(const RunRecord& run) {
  std::error_code error;
  const std::filesystem::path place = std::filesystem::weakly_canonical(run.folder, error);
  return error ? run.folder : place;
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
  return text_named(run.options, name);
}

std::vector<std::string> differing_options(std::span<const RunRecord> runs) {
  std::vector<NamedTexts> all;
  for (const RunRecord& run : runs) {
    NamedTexts& options = all.emplace_back();
    for (const auto& option : run.options)
      if (!incidental(option.first)) options.push_back(option);
  }
  return differing_names(all);
}

NamedTexts facts_of(const RunRecord& run) {
  NamedTexts facts = {{"fatwood", run.fatwood_version}, {"LibTorch", run.libtorch_version}};
  // Seeds may run side by side on a mixed cluster.
  for (const auto& [name, text] : run.machine)
    if (name != "cpu" && name != "cores" && name != "threads")
      facts.emplace_back("machine " + name, text);
  // The statistics follow from the images, with --holdout from those that the seed picks.
  for (const auto& [name, text] : run.data)
    if (name != "mean" && name != "std") facts.emplace_back("data " + name, text);
  return facts;
}

std::string fact_of(const RunRecord& run, const std::string& name) {
  return text_named(facts_of(run), name);
}

std::vector<std::string> differing_facts(std::span<const RunRecord> runs) {
  std::vector<NamedTexts> all;
  for (const RunRecord& run : runs) all.push_back(facts_of(run));
  return differing_names(all);
}

std::vector<RunGroup> groups_of(std::span<const RunRecord> runs) {
  const std::vector<std::string> options = differing_options(runs);
  const std::vector<std::string> facts = differing_facts(runs);
  std::vector<RunGroup> groups;
  std::set<std::filesystem::path> places;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::filesystem::path place = place_of(runs[i]);
    if (!place.empty() && !places.insert(place).second) continue;
    const std::string label = group_label(runs[i], options, facts);
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
