// Several runs side by side: which options and circumstances differ, which runs are the same but
// for the seed, and the mean and deviation over those.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fatwood/report/run_record.h>

namespace fatwood {

/// Mean and unbiased deviation; the deviation is 0 for one value.
struct Spread {
  double mean = 0;
  double deviation = 0;
  std::size_t n = 0;
};

Spread spread_of(std::span<const double> values);

/// "0.914 ± 0.002", or "0.914" for one value.
std::string text_of(const Spread& spread, int decimals);

/// Names of the options whose values differ between the runs, in the order of the first run.
std::vector<std::string> differing_options(std::span<const RunRecord> runs);

/// What a run was computed by and from: versions, machine and data, each under a name that is no
/// option's ("machine isa").
NamedTexts facts_of(const RunRecord& run);

/// Names of the facts that differ between the runs, in the order of the first run.
std::vector<std::string> differing_facts(std::span<const RunRecord> runs);

/// Runs with the same options and facts but for the seed and for where they write.
struct RunGroup {
  std::string label;  ///< the model and, where groups differ otherwise, those options and facts
  std::vector<std::size_t> members;  ///< indices into the runs; of one folder the first alone
};

std::vector<RunGroup> groups_of(std::span<const RunRecord> runs);

/// The last evaluation row's value of `metric`; nothing when there is none.
std::optional<double> final_value(const RunRecord& run, Mode mode, const std::string& metric);

/// The option's text; "" when the run has none of that name.
std::string option_of(const RunRecord& run, const std::string& name);

/// The fact's text, likewise.
std::string fact_of(const RunRecord& run, const std::string& name);

}  // namespace fatwood
