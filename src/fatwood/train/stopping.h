// Callbacks that end a fit: on request, when it diverges, when it no longer improves.
#pragma once

#include <stop_token>

#include <fatwood/train/callback.h>

namespace fatwood {

/// Ends the fit after the current batch once a stop is requested: how an application hands Ctrl-C
/// to a fit. The batch's row is recorded first.
class StopOnRequest : public Callback {
 public:
  explicit StopOnRequest(std::stop_token stop, std::string reason = "interrupted")
      : stop_(std::move(stop)), reason_(std::move(reason)) {}
  std::string name() const override { return "stop_on_request"; }
  Stage stage() const override { return Stage::control; }
  void after_batch(Run& run) override;

 private:
  std::stop_token stop_;
  std::string reason_;
};

/// Ends the fit, before the optimiser's step, when the loss of a training batch or one of its
/// gradients is not finite: the model keeps its last finite weights. And at the end of a training
/// pass when a weight is not finite, or in an evaluation pass of the fit when the loss is not: the
/// last step of a run has no later one that would show it. The pass then has no epoch row.
class StopOnDivergence : public Callback {
 public:
  std::string name() const override { return "stop_on_divergence"; }
  void after_loss(Run& run) override;
  void after_backward(Run& run) override;
  void after_epoch(Run& run) override;
};

struct EarlyStoppingOptions {
  std::string metric = "loss";  ///< of the evaluation passes
  std::int64_t patience = 1;    ///< evaluation passes without improvement that are borne
  double min_delta = 0;         ///< what counts as one
};

/// Ends the fit, as "cancelled", when the metric has not improved for more than `patience`
/// evaluation passes. One that is out of patience only at the end of its last epoch is complete.
/// Throws Error{usage} for a negative patience, or in the first evaluation pass for an unknown
/// metric.
class EarlyStopping : public Callback {
 public:
  using Options = EarlyStoppingOptions;
  explicit EarlyStopping(Options options = {});
  std::string name() const override { return "early_stopping"; }
  Stage stage() const override { return Stage::control; }
  void before_fit(Run& run) override;
  void after_epoch(Run& run) override;
  nlohmann::json state_dict() const override;
  void load_state_dict(const nlohmann::json& state) override;

 private:
  Options options_;
  std::optional<double> best_;
  std::int64_t without_ = 0;
  bool resumed_ = false;
};

}  // namespace fatwood
