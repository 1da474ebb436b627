// Callbacks that change a batch before the model sees it.
#pragma once

#include <functional>

#include <fatwood/train/callback.h>

namespace fatwood {

/// Moves the model to the run's device before the fit and every batch to it before the step.
class DevicePlacement : public Callback {
 public:
  std::string name() const override { return "device_placement"; }
  Stage stage() const override { return Stage::place; }
  void before_fit(Run& run) override;
  void before_batch(Run& run) override;
};

/// Applies a function to every batch, or to training batches only.
class BatchTransform : public Callback {
 public:
  explicit BatchTransform(std::function<Batch(const Batch&)> transform, bool training_only = false)
      : transform_(std::move(transform)), training_only_(training_only) {}
  std::string name() const override { return "batch_transform"; }
  Stage stage() const override { return Stage::data; }
  void before_batch(Run& run) override;

 private:
  std::function<Batch(const Batch&)> transform_;
  bool training_only_;
};

/// x ← (x − mean) / std, for batches that come unscaled. Throws Error{usage} unless std is above 0.
CallbackPtr normalize_batch(double mean, double std);

}  // namespace fatwood
