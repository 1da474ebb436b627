// AveragedWeights: an exponential moving average of the model, used in evaluation passes.
#pragma once

#include <fatwood/train/callback.h>

namespace fatwood {

struct AveragedWeightsOptions {
  double decay = 0.999;       ///< weight of the past
  bool adopt_at_end = false;  ///< leave the average in the model when the fit completes
};

/// After every training step: average ← decay · average + (1 − decay) · weights, running statistics
/// included; integer buffers are copied. Evaluation passes see the average.
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
  NamedTensors tensor_state() const override { return average_; }
  void load_tensor_state(const NamedTensors& state) override;

  /// Keys as in `named_state(model)`.
  const NamedTensors& average() const { return average_; }

 private:
  void swap(Run& run);

  Options options_;
  NamedTensors average_;
  bool resumed_ = false;
};

}  // namespace fatwood
