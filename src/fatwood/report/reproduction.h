// Our runs beside the page's figures: every row of its epoch tables with the mean and deviation
// over seeds, the difference, and a verdict. Made from run records, so it can be made again later.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/core/table.h>
#include <fatwood/report/comparison.h>
#include <fatwood/report/page_figures.h>
#include <fatwood/report/run_record.h>

namespace fatwood {

/// How far a mean may be from the page's figure and still match it. The page's runs are single ones
/// and unshuffled; PyTorch's own results spread as much from seed to seed.
inline constexpr double kAccuracyTolerance = 0.003;
inline constexpr double kLossTolerance = 0.010;

enum class Verdict { matches, better, worse };
std::string_view name_of(Verdict verdict);

/// One figure of the page, and ours over the seeds.
struct ReproducedFigure {
  double page = 0;
  Spread ours;
  double difference = 0;  ///< ours − page
  Verdict verdict = Verdict::matches;
};

/// One row of one of the page's epoch tables.
struct ReproducedRow {
  PageEpoch page;
  ReproducedFigure accuracy, loss;
};

struct ReproducedRun {
  PageRun page;
  std::vector<std::uint64_t> seeds;  ///< of the runs that count
  std::vector<ReproducedRow> rows;   ///< those that a run has reached

  /// The last evaluation's row; null when no run has finished.
  const ReproducedRow* final_row() const;
};

/// Completed runs of the page's models, in its order; others are passed over. A model without a run
/// has no entry.
std::vector<ReproducedRun> held_against_page(std::span<const RunRecord> runs);

/// A table for a terminal or a report: ours, the page's, the difference for both metrics of each
/// row.
TextTable epoch_table(const ReproducedRun& run);

/// A row per row of the page, with both verdicts.
TextTable verdict_table(std::span<const ReproducedRun> runs);

/// "final accuracy: 4 of 4 networks at the page's or no more than 0.003 below it", naming those
/// that are not.
std::string conclusion(std::span<const ReproducedRun> runs);

nlohmann::json to_json(std::span<const ReproducedRun> runs);

}  // namespace fatwood
