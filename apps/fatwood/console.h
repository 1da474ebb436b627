// What a run shows: result tables on standard output, progress and remarks on standard error.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include <fatwood/core/rows.h>
#include <fatwood/report/progress.h>
#include <fatwood/report/tables.h>

namespace fatwood::cli {

/// Prints the epoch table row by row as the run goes on, with the progress bars below it.
class Console : public RowSink {
 public:
  Console();
  void say(std::string_view line);

  void begin(const RunRow& row) override;
  void begin_epoch(Mode mode, std::int64_t epoch, std::int64_t batches) override;
  void batch(const BatchRow& row) override;
  void epoch(const EpochRow& row) override;
  void event(const EventRow& row) override;
  void end(const EndRow& row) override;

 private:
  ProgressDisplay progress_;
  std::optional<EpochTable> table_;
};

}  // namespace fatwood::cli
