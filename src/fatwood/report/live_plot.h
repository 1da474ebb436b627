// The loss as it falls, drawn in the terminal with braille dots (blocks of characters where those
// cannot be shown): training per batch, evaluation per epoch. A sink of rows; ProgressDisplay asks
// it for its lines each time it draws.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fatwood/core/rows.h>
#include <fatwood/report/terminal.h>

namespace fatwood {

/// Memory and the time of a drawing are bounded however long the run: neighbouring batches share a
/// bucket that keeps the smallest and the largest loss.
class LivePlot : public RowSink {
 public:
  explicit LivePlot(TerminalTraits traits) : traits_(traits) {}

  void begin(const RunRow& row) override;
  void batch(const BatchRow& row) override;
  void epoch(const EpochRow& row) override;
  void event(const EventRow& row) override;

  /// A legend, the plot with its axis on the left, and the steps below; nothing before the second
  /// batch or when `room` is too small. No line is wider than room.columns.
  std::vector<std::string> lines(WindowSize room) const;

 private:
  struct Bucket {
    double low, high;
    bool used = false;
  };

  TerminalTraits traits_;
  std::int64_t total_steps_ = 0;  // planned; grows when a run is longer than it said
  std::int64_t steps_a_bucket_ = 1;
  std::vector<Bucket> buckets_;
  std::vector<std::pair<std::int64_t, double>> evaluations_;  // step, loss
  std::int64_t batches_ = 0;
  double last_loss_ = 0;
};

}  // namespace fatwood
