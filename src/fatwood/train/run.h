// Run: the state of a fit, as plain data. The learner writes it, callbacks read and change it,
// tests build it by hand. docs/events.md shows the loop with every event in place.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <fatwood/core/rows.h>
#include <fatwood/model/layer.h>
#include <fatwood/train/batch.h>
#include <fatwood/train/optimizer.h>

namespace fatwood {

/// What a cancel ends: the batch, the pass through the batches, or the whole fit.
enum class Scope { batch, epoch, fit };

struct Run;
class Callback;

/// (predictions, targets) → loss, the mean over the batch.
using LossFunction = std::function<Tensor(const Tensor&, const Tensor&)>;

/// How a batch becomes an update. Each part can be replaced, for good or by a callback for one fit.
struct StepParts {
  std::function<void(Run&)> predict;    ///< batch.x → predictions
  std::function<void(Run&)> get_loss;   ///< predictions, batch.y → loss
  std::function<void(Run&)> backward;   ///< loss → gradients
  std::function<void(Run&)> step;       ///< gradients → parameters
  std::function<void(Run&)> zero_grad;  ///< drops the gradients
};

/// The parts as anyone expects them.
StepParts default_step_parts();

/// Why a fit ended before its last batch.
struct Cancel {
  Scope scope = Scope::fit;
  std::string reason;
  std::string
      status;  ///< what the run's end record will say: "cancelled", "interrupted", "diverged"
};

struct Run {
  // What trains on what.
  LayerPtr model;
  OptimizerPtr optimizer;
  LossFunction loss_function;
  StepParts parts = default_step_parts();
  Loaders loaders;
  torch::Device device = torch::kCPU;
  std::uint64_t seed = 0;
  std::string name;                  ///< the model's name in rows; its kind where empty
  std::vector<Callback*> callbacks;  ///< of this fit, in their order

  // Where the fit stands.
  std::int64_t epochs = 0;       ///< of this fit
  std::int64_t epoch = 0;        ///< from 0
  Mode mode = Mode::training;    ///< training pass or evaluation pass
  bool evaluation_only = false;  ///< within Learner::evaluate()
  std::int64_t batches = 0;      ///< of this pass
  std::int64_t batch_index = 0;  ///< in this pass, from 0
  std::int64_t step =
      0;  ///< training batches before this one, over the whole fit: a function of position

  // The batch in hand.
  Batch batch;
  Tensor predictions;
  Tensor loss;

  /// Whether an optimiser step follows this batch; AccumulateGradients clears it in between.
  bool step_due = true;

  /// Value of `loss`; waits for the device. Asked more than once a batch, it is read once.
  double loss_value();

  /// Set by an engine that computes them beside the batch's own work: where they are read from, for
  /// this batch. The first reading waits for the device.
  struct Measured {
    double loss = 0;
    double gradient_norms = 0;  ///< the sum of the gradients' 2-norms, as backward() left them
  };
  std::function<Measured()> measured;

  // What callbacks leave for those after them.
  std::vector<MetricInfo> metrics;  ///< columns, set before the fit starts
  MetricValues epoch_metrics;       ///< of the pass that just ended

  bool training() const { return mode == Mode::training; }
  std::int64_t training_batches() const { return loaders.train ? loaders.train->batches() : 0; }
  std::int64_t evaluation_batches() const { return loaders.eval ? loaders.eval->batches() : 0; }

  /// Asks for the end of the current batch, epoch or fit. No later callback of the event that runs
  /// now and no later part of the bracket is called; every cleanup is. The first request of the
  /// widest scope stands. Throws Error{usage} when no such bracket is open.
  void cancel(Scope scope, std::string reason, std::string status = "cancelled");

  /// Whether an error is on its way out of the fit. Cleanups run, but what the callbacks hold may
  /// be of different batches: no state to keep.
  bool failed() const { return failed_; }

  /// The request that stands, if one does.
  const std::optional<Cancel>& cancelled() const { return cancel_; }

 private:
  friend class Learner;
  void forget_measured() {
    loss_value_.reset();
    measured = nullptr;
  }

  bool failed_ = false;
  std::optional<Cancel> cancel_;
  std::optional<Scope> open_;  // innermost open bracket
  std::optional<double> loss_value_;
};

}  // namespace fatwood
