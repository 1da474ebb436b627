#include <algorithm>
#include <utility>

#include <fatwood/model/libtorch.h>
#include <fatwood/train/recorder.h>

namespace fatwood {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

const ParamGroup* first_group(const Run& run) {
  return run.optimizer && !run.optimizer->groups().empty() ? &run.optimizer->groups().front()
                                                           : nullptr;
}

}  // namespace

double Recorder::elapsed_s() const {
  return elapsed_before_s_ + seconds_since(start_);
}

void Recorder::before_fit(Run& run) {
  start_ = Clock::now();
  completed_ = false;
  held_end_.reset();
  if (std::exchange(resumed_, false)) return;
  elapsed_before_s_ = pass_before_s_ = 0;
  batches_.clear();
  epochs_.clear();
  RunRow row{.model = run.name,
             .epochs = run.epochs,
             .batches = run.training_batches(),
             .eval_batches = run.evaluation_batches(),
             .batch_size = run.loaders.train ? run.loaders.train->batch_size() : 0,
             .seed = run.seed,
             .layers = {},
             .metrics = run.metrics};
  for (const NamedLayer& part : run.model->layers())
    row.layers.push_back({part.name, part.layer->kind()});
  for (const RowSinkPtr& sink : sinks_) sink->begin(row);
}

void Recorder::before_epoch(Run& run) {
  epoch_start_ = Clock::now();
  duration_before_s_ = std::exchange(pass_before_s_, 0);
  for (const RowSinkPtr& sink : sinks_) sink->begin_epoch(run.mode, run.epoch, run.batches);
}

void Recorder::after_batch(Run& run) {
  const ParamGroup* group = first_group(run);
  const BatchRow row{.mode = run.mode,
                     .step = run.step,
                     .epoch = run.epoch,
                     .batch = run.batch_index,
                     .size = run.batch.size(),
                     .loss = run.loss_value(),
                     .lr = group ? group->lr : 0,
                     .momentum = group ? group->momentum : 0,
                     .elapsed_s = elapsed_s()};
  if (run.training()) batches_.push_back(row);
  for (const RowSinkPtr& sink : sinks_) sink->batch(row);
}

void Recorder::after_epoch(Run& run) {
  const ParamGroup* group = first_group(run);
  const BatchSource& source = run.training() ? *run.loaders.train : *run.loaders.eval;
  epochs_.push_back({.mode = run.mode,
                     .epoch = run.epoch,
                     .step = run.step,
                     .size = source.samples(),
                     .metrics = run.epoch_metrics,
                     .lr = group ? group->lr : 0,
                     .duration_s = duration_before_s_ + seconds_since(epoch_start_),
                     .elapsed_s = elapsed_s()});
  for (const RowSinkPtr& sink : sinks_) sink->epoch(epochs_.back());
}

void Recorder::after_fit(Run&) {
  completed_ = true;
}

void Recorder::cleanup_fit(Run& run) {
  EndRow row{.status = "completed", .reason = "", .step = run.step, .elapsed_s = elapsed_s()};
  if (run.cancelled()) {
    row.status = run.cancelled()->status;
    row.reason = run.cancelled()->reason;
  } else if (!completed_) {
    row.status = "failed";
    row.reason = "an error ended the fit";
  }
  held_end_ = std::move(row);
  if (held_status_.empty() || held_end_->status != held_status_) release_end();
}

void Recorder::release_end() {
  const std::optional<EndRow> row = std::exchange(held_end_, std::nullopt);
  if (!row) return;
  for (const RowSinkPtr& sink : sinks_) sink->end(*row);
}

bool Recorder::remember(const std::function<void(RowSink&)>& replay) {
  struct Memory : RowSink {
    void begin(const RunRow&) override { begun = true; }
    void batch(const BatchRow& row) override {
      elapsed_s = std::max(elapsed_s, row.elapsed_s);
      if (row.mode == Mode::training) batches.push_back(row);
    }
    void epoch(const EpochRow& row) override {
      elapsed_s = pass_began_s = std::max(elapsed_s, row.elapsed_s);
      epochs.push_back(row);
    }
    bool begun = false;
    double elapsed_s = 0;
    double pass_began_s = 0;  // at the end of the pass before
    std::vector<BatchRow> batches;
    std::vector<EpochRow> epochs;
  } memory;
  replay(memory);
  if (!memory.begun) return false;
  batches_ = std::move(memory.batches);
  epochs_ = std::move(memory.epochs);
  elapsed_before_s_ = memory.elapsed_s;
  pass_before_s_ = memory.elapsed_s - memory.pass_began_s;
  return true;
}

void Recorder::resume(const std::function<void(RowSink&)>& replay) {
  resumed_ = remember(replay);
  if (!resumed_) return;
  for (const RowSinkPtr& sink : sinks_) replay(*sink);
}

void Recorder::rewind(const std::function<void(RowSink&)>& replay) {
  resumed_ = remember(replay);
}

void Recorder::stats(const StatsRow& row) {
  for (const RowSinkPtr& sink : sinks_) sink->stats(row);
}

void Recorder::event(const EventRow& row) {
  for (const RowSinkPtr& sink : sinks_) sink->event(row);
}

}  // namespace fatwood
