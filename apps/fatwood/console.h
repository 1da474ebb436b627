// What a run shows: result tables on standard output, progress and remarks on standard error.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include <fatwood/core/rows.h>
#include <fatwood/report/live_plot.h>
#include <fatwood/report/progress.h>
#include <fatwood/report/tables.h>

namespace fatwood::cli {

struct ConsoleOptions {
  bool plot = true;                  ///< the loss as a plot above the bars, on a terminal
  std::function<double()> now = {};  ///< the run's time; the steady clock when empty
};

/// Prints the epoch table row by row as the run goes on, with the progress bars below it.
class Console : public RowSink {
 public:
  explicit Console(ConsoleOptions options = {});
  void say(std::string_view line);

  /// Whether bars are drawn; a reader that catches up with a run hides them.
  void show(bool visible) { progress_.show(visible); }
  /// Draws nothing before the next pass: for the rows of a run that is resumed.
  void catch_up() {
    show(false);
    catching_up_ = true;
  }

  void begin(const RunRow& row) override;
  void begin_epoch(Mode mode, std::int64_t epoch, std::int64_t batches) override;
  void batch(const BatchRow& row) override;
  void epoch(const EpochRow& row) override;
  void event(const EventRow& row) override;
  void end(const EndRow& row) override;

 private:
  LivePlot plot_;
  ProgressDisplay progress_;
  std::optional<EpochTable> table_;
  bool catching_up_ = false;
};

}  // namespace fatwood::cli
