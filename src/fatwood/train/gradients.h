// Callbacks that change what happens to gradients between the backward pass and the next batch.
#pragma once

#include <fatwood/train/callback.h>

namespace fatwood {

/// Scales the gradients so that their joint 2-norm is at most `max_norm`, once before every
/// optimiser step: accumulated gradients are clipped as a whole. Equal to
/// torch.nn.utils.clip_grad_norm_.
class ClipGradients : public Callback {
 public:
  /// Throws Error{usage} unless max_norm is above 0.
  explicit ClipGradients(double max_norm);
  std::string name() const override { return "clip_gradients"; }
  void after_backward(Run& run) override;

 private:
  double max_norm_;
};

/// One optimiser step for every `batches` training batches, each counting 1 / batches; what is left
/// at the end of a pass makes a step of its own.
class AccumulateGradients : public Callback {
 public:
  /// Throws Error{usage} for a number below 1.
  explicit AccumulateGradients(std::int64_t batches);
  std::string name() const override { return "accumulate_gradients"; }
  void before_fit(Run& run) override;
  void before_batch(Run& run) override;
  void cleanup_fit(Run& run) override;

 private:
  std::int64_t batches_;
};

/// In place of dropping the gradients, scales them by `momentum`, and the next backward pass adds
/// to what is left.
class GradientMomentum : public Callback {
 public:
  /// Throws Error{usage} for a momentum outside [0, 1).
  explicit GradientMomentum(double momentum = 0.85);
  std::string name() const override { return "gradient_momentum"; }
  void before_fit(Run& run) override;
  void cleanup_fit(Run& run) override;

 private:
  double momentum_;
};

}  // namespace fatwood
