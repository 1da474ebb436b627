// Learner: the training loop. It owns the order of events and nothing else; what happens at an
// event is the callbacks' business, what a step does is the step parts'.
#pragma once

#include <functional>
#include <string>

#include <fatwood/train/callback.h>
#include <fatwood/train/run.h>

namespace fatwood {

struct LearnerOptions {
  LayerPtr model = {};
  Loaders loaders = {};
  OptimizerPtr optimizer = {};         ///< null: AdamW with PyTorch's defaults
  LossFunction loss_function = {};     ///< null: cross-entropy
  Callbacks callbacks = {};            ///< for every fit
  torch::Device device = torch::kCPU;  ///< where `DevicePlacement` puts things
  std::uint64_t seed = 0;              ///< recorded; the loaders carry their own
  std::string name = {};               ///< for rows: "residual_cnn"
};

/// How a fit ended.
struct FitResult {
  std::string status = "completed";  ///< or "cancelled", "interrupted", "diverged"
  std::string reason;
  bool completed() const { return status == "completed"; }
};

class Learner {
 public:
  /// Throws Error{usage} when the model or the training batches are missing.
  explicit Learner(LearnerOptions options);

  /// Trains for `epochs`, 2^50 batches in all at most: each a pass through the training batches,
  /// then one through the evaluation batches if there are any. `extra` takes part in this fit only.
  /// A cancelled fit returns normally and says why. Errors of callbacks and of LibTorch pass
  /// through, after every cleanup.
  FitResult fit(std::int64_t epochs, const Callbacks& extra = {});

  /// One pass through the evaluation batches, metrics in `run().epoch_metrics`. The learner's own
  /// callbacks of the stages `save` and `record` take no part: nothing is saved, and no row is
  /// added to those of the last fit.
  FitResult evaluate(const Callbacks& extra = {});

  Run& run() { return run_; }
  const Run& run() const { return run_; }
  void add(CallbackPtr callback) { callbacks_.push_back(std::move(callback)); }
  /// Those of every fit, as they were added.
  const Callbacks& callbacks() const { return callbacks_; }

  /// Where the next fit starts: a resumed run's position. In the training pass before `batch`, or
  /// at the start of the epoch's evaluation pass. Reset to the beginning by every fit.
  void start_at(std::int64_t epoch, std::int64_t batch, Mode mode = Mode::training);

 private:
  using Event = void (Callback::*)(Run&);
  struct Bracket {
    Scope scope;
    Event before, after, cleanup;
  };
  static const Bracket kFit, kEpoch, kBatch;

  FitResult run_brackets(std::int64_t epochs, const Callbacks& own, const Callbacks& extra,
                         const std::function<void()>& body);
  void bracket(const Bracket& bracket, const std::function<void()>& body);
  bool fire(Event event);  // false when a cancel stands
  void pass(Mode mode, std::int64_t first_batch);
  void count_steps();
  bool one_batch();  // false when a cancel came before the step

  Run run_;
  Callbacks callbacks_;
  Callbacks active_;  // of the fit that runs, in order
  std::int64_t first_epoch_ = 0, first_batch_ = 0;
  Mode first_mode_ = Mode::training;
};

}  // namespace fatwood
