// The records of a run: what training emits and every report reads. A row is plain data, so that
// progress, tables, plots, files and tests can be fed from a live run, from a file or by hand.
// Written as JSON lines by `rows_io.h`; the format is documented in docs/run-folder.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fatwood {

/// One pass through the training batches, or one through the evaluation batches.
enum class Mode { training, evaluation };

/// "train" or "eval", as in the page's tables.
constexpr std::string_view name_of(Mode mode) {
  return mode == Mode::training ? "train" : "eval";
}

/// What a metric's column means.
struct MetricInfo {
  std::string name;              ///< column name: "accuracy", "loss"
  std::string title;             ///< heading in tables: "MulticlassAccuracy"
  std::string unit;              ///< "fraction", "nats", "" for none
  bool higher_is_better = true;  ///< which way is up
};

/// Ordered name–value pairs: the columns of a row.
using MetricValues = std::vector<std::pair<std::string, double>>;

/// A layer that statistics and summaries speak of.
struct LayerInfo {
  std::string name;  ///< path in the model: "layers.0"
  std::string kind;  ///< "Conv"
};

/// First record of a run: what is going to happen.
struct RunRow {
  std::string model;
  std::int64_t epochs = 0;
  std::int64_t batches = 0;       ///< training batches an epoch
  std::int64_t eval_batches = 0;  ///< evaluation batches an epoch
  std::int64_t batch_size = 0;
  std::uint64_t seed = 0;
  std::vector<LayerInfo> layers;
  std::vector<MetricInfo> metrics;
};

/// One batch. Evaluation batches feed the progress display and are not written to the run's file.
struct BatchRow {
  Mode mode = Mode::training;
  std::int64_t step = 0;   ///< training steps done before this batch, over the whole run
  std::int64_t epoch = 0;  ///< from 0
  std::int64_t batch = 0;  ///< within the epoch, from 0
  std::int64_t size = 0;   ///< samples
  double loss = 0;         ///< mean over the batch
  double lr = 0;           ///< learning rate that the step used
  double momentum = 0;     ///< momentum, or AdamW's beta1, that the step used
  double elapsed_s = 0;    ///< since the start of the fit
};

/// Histograms of StatsRow span |x| in [0, kHistogramTop].
inline constexpr double kHistogramTop = 10;

/// Activation statistics of every layer at one batch.
struct StatsRow {
  Mode mode = Mode::training;
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::vector<double> mean = {};  ///< per layer
  std::vector<double> std = {};   ///< per layer, unbiased
  std::vector<std::vector<std::int64_t>>
      hist;  ///< per layer, 40 counts of |x| over [0, 10]; empty when not due
};

/// One pass through the training or the evaluation batches.
struct EpochRow {
  Mode mode = Mode::training;
  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< training steps done at its end
  std::int64_t size = 0;  ///< samples
  MetricValues metrics = {};
  double lr = 0;  ///< at the end of the pass
  double duration_s = 0;
  double elapsed_s = 0;
};

/// What an event says when training goes back to `step`: rows of that step and later count no more.
inline constexpr const char* kRewindEvent = "rewind";

/// Something worth telling that is neither.
struct EventRow {
  std::int64_t step = 0;
  std::string what;  ///< kRewindEvent, "checkpoint failed"
  std::string reason;
};

/// Last record. A run that was killed has none.
struct EndRow {
  std::string status = {};  ///< "completed", "interrupted", "cancelled", "diverged", "failed"
  std::string reason = {};
  std::int64_t step = 0;
  double elapsed_s = 0;
};

/// Receives the rows of a run in order: files, progress, TensorBoard.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void begin(const RunRow&) {}
  virtual void batch(const BatchRow&) {}
  virtual void stats(const StatsRow&) {}
  virtual void epoch(const EpochRow&) {}
  virtual void event(const EventRow&) {}
  virtual void end(const EndRow&) {}
  /// A pass of `batches` batches starts; for displays that draw a bar.
  virtual void begin_epoch(Mode /*mode*/, std::int64_t /*epoch*/, std::int64_t /*batches*/) {}
};

}  // namespace fatwood
