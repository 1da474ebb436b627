// Recorder: turns a fit into rows. It keeps them in memory and hands each to its sinks: the run's
// files, the progress display, TensorBoard.
#pragma once

#include <chrono>
#include <memory>
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

  /// Rows of training batches: learning rate, momentum and loss at every one.
  const std::vector<BatchRow>& batches() const { return batches_; }
  const std::vector<EpochRow>& epochs() const { return epochs_; }

  /// Hands on a row that another callback made.
  void stats(const StatsRow& row);
  void event(const EventRow& row);

  void add_sink(RowSinkPtr sink) { sinks_.push_back(std::move(sink)); }

 private:
  double elapsed_s() const;

  std::vector<RowSinkPtr> sinks_;
  std::vector<BatchRow> batches_;
  std::vector<EpochRow> epochs_;
  std::chrono::steady_clock::time_point start_, epoch_start_;
  bool completed_ = false;
};

}  // namespace fatwood
