// AveragedWeights: an exponential moving average of the model, used in evaluation passes.
#pragma once

#include <fatwood/train/callback.h>

namespace fatwood {

struct AveragedWeightsOptions {
  double decay = 0.999;  ///< weight of the past
  /// Leave the average in the model when the fit completes or is cancelled, as by EarlyStopping;
  /// not when it is interrupted, diverges or fails.
  bool adopt_at_end = false;
};

/// After every training step: average ← decay · average + (1 − decay) · weights, running statistics
/// included; integer buffers are copied. Evaluation passes see the average; that of
/// Learner::evaluate() sees the last fit's, unless the model holds it already.
/// Throws Error{usage} for a decay outside [0, 1).
class AveragedWeights : public Callback {
 public:
  using Options = AveragedWeightsOptions;
  explicit AveragedWeights(const Options& options = {});

  std::string name() const override { return "averaged_weights"; }
  Stage stage() const override { return Stage::train; }
  void before_fit(Run& run) override;
  void after_step(Run& run) override;
  void before_epoch(Run& run) override;
  void cleanup_epoch(Run& run) override;
  void after_fit(Run& run) override;
  void cleanup_fit(Run& run) override;
  NamedTensors tensor_state() const override { return average_; }
  void load_tensor_state(const NamedTensors& state) override;

  /// Keys as in `named_state(model)`.
  const NamedTensors& average() const { return average_; }

 private:
  void adopt(Run& run);
  void swap(Run& run);
  bool fits(const Run& run) const;

  Options options_;
  NamedTensors average_;
  bool resumed_ = false;
  bool serves_ = false;   // evaluation passes of the fit that runs
  bool adopted_ = false;  // the model holds the average, and average_ what was trained
};

}  // namespace fatwood
