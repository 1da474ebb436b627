// The report: one HTML file that holds everything, its scripts included, and that a content
// security policy keeps from asking any network for anything.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fatwood/core/table.h>
#include <fatwood/report/run_record.h>

namespace fatwood {

/// Tables of the caller's own, under a heading in front of a comparison.
struct ReportPart {
  std::string title;
  std::string lead = {};                                       ///< a sentence
  std::vector<std::pair<std::string, TextTable>> tables = {};  ///< caption and table
};

/// The report of one run, or the comparison of several, each followed by its own report.
/// Throws Error{usage} when there is no run.
std::string html_report(std::span<const RunRecord> runs, const std::vector<ReportPart>& first = {});

/// A page with nothing but one Vega-Lite document, for `fatwood plot -o x.html`.
std::string html_plot(const std::string& title, const std::string& spec_json);

}  // namespace fatwood
