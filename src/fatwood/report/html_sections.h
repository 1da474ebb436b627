// The parts of the report. Private to report; html.cpp puts them together.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/report/run_record.h>

namespace fatwood {

/// Level of the headings of a part: 2 in the report of one run, 3 below a run's own heading.
std::string heading(int level, const std::string& text, const std::string& id = "");

std::string headline(const RunRecord& run);
std::string remarks_box(const RunRecord& run);
std::string epoch_section(const RunRecord& run);
std::string summary_section(const RunRecord& run);
std::string gallery(std::span<const PredictedSample> samples, std::span<const std::string> classes,
                    int level, const std::string& title);
std::string settings_section(const RunRecord& run);
std::string comparison_section(std::span<const RunRecord> runs);

/// The plots of `names` that have data, side by side where there is room; ids begin with `prefix`.
std::string plot_section(std::span<const RunRecord> runs, const std::string& prefix, int level,
                         const std::vector<std::string_view>& names, bool pair);

}  // namespace fatwood
