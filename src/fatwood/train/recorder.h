// Recorder: turns a fit into rows. It keeps them in memory and hands each to its sinks: the run's
// files, the progress display, TensorBoard.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fatwood/core/rows.h>
#include <fatwood/train/callback.h>

namespace fatwood {

using RowSinkPtr = std::shared_ptr<RowSink>;

class Recorder : public Callback {
 public:
  explicit Recorder(std::vector<RowSinkPtr> sinks = {}) : sinks_(std::move(sinks)) {}

  std::string name() const override { return "recorder"; }
  Stage stage() const override { return Stage::record; }
  void before_fit(Run& run) override;
  void before_epoch(Run& run) override;
  void after_batch(Run& run) override;
  void after_epoch(Run& run) override;
  void after_fit(Run& run) override;
  void cleanup_fit(Run& run) override;

  /// Goes on with rows that are there: `replay` hands them, the run's first, to the sink it is
  /// given. They are kept here, shown to every sink, and the next fit adds to them; elapsed times
  /// go on from the last one. Without a run row the next fit starts as any other.
  void resume(const std::function<void(RowSink&)>& replay);

  /// Goes back to the rows that `replay` hands, in a run that goes on: as resume(), but the sinks
  /// have seen the rows; that some count no more is for an event to say.
  void rewind(const std::function<void(RowSink&)>& replay);

  /// Rows of fits that end with `status` get no end row until release_end(): the fit is to be
  /// taken up again. Empty: every fit's end is a row.
  void hold_end(std::string status) { held_status_ = std::move(status); }
  void release_end();

  /// Rows of training batches: learning rate, momentum and loss at every one.
  const std::vector<BatchRow>& batches() const { return batches_; }
  const std::vector<EpochRow>& epochs() const { return epochs_; }

  /// Hands on a row that another callback made.
  void stats(const StatsRow& row);
  void event(const EventRow& row);

  void add_sink(RowSinkPtr sink) { sinks_.push_back(std::move(sink)); }

 private:
  double elapsed_s() const;
  bool remember(const std::function<void(RowSink&)>& replay);

  std::vector<RowSinkPtr> sinks_;
  std::vector<BatchRow> batches_;
  std::vector<EpochRow> epochs_;
  std::chrono::steady_clock::time_point start_, epoch_start_;
  double elapsed_before_s_ = 0;   // in the part of the run that is resumed
  double pass_before_s_ = 0;      // of that, in the pass that it stopped in
  double duration_before_s_ = 0;  // likewise, while that pass goes on
  std::string held_status_;
  std::optional<EndRow> held_end_;
  bool resumed_ = false;
  bool completed_ = false;
};

}  // namespace fatwood
