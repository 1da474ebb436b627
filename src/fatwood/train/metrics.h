// Metrics: each a column of the epoch rows. A metric gathers over a whole pass and answers at its
// end.
#pragma once

#include <memory>
#include <vector>

#include <fatwood/train/callback.h>

namespace fatwood {

class Metric {
 public:
  virtual ~Metric() = default;
  virtual MetricInfo info() const = 0;
  virtual void reset() = 0;
  /// After a batch: predictions (N, C), targets (N), the batch's mean loss.
  virtual void update(const Tensor& predictions, const Tensor& targets, double loss) = 0;
  /// Over everything since reset; NaN when nothing came.
  virtual double value() const = 0;
  /// What has been gathered, for a run that goes on in the middle of a pass.
  virtual NamedTensors state() const = 0;
  virtual void load_state(const NamedTensors& state) = 0;
};

using MetricPtr = std::shared_ptr<Metric>;

enum class Average {
  macro,  ///< mean over the classes that occur, torchmetrics' default
  micro,  ///< over all samples
};

/// Share of right predictions: torchmetrics' MulticlassAccuracy over the whole pass. Column
/// "accuracy" (macro) or "accuracy_micro".
MetricPtr accuracy(std::int64_t classes, Average average = Average::macro);

/// Share of samples whose class is among the k most likely. Column "top<k>". Of classes with equal
/// logits the ones that torch::topk picks count.
MetricPtr top_k(std::int64_t k);

/// Mean of the loss over the samples. Column "loss".
MetricPtr mean_loss();

/// Feeds metrics batch by batch and leaves their values in `Run::epoch_metrics`.
class Metrics : public Callback {
 public:
  explicit Metrics(std::vector<MetricPtr> metrics) : metrics_(std::move(metrics)) {}
  /// The page's columns: macro accuracy and loss.
  static std::shared_ptr<Metrics> usual(std::int64_t classes);

  std::string name() const override { return "metrics"; }
  Stage stage() const override { return Stage::measure; }
  void before_fit(Run& run) override;
  void before_epoch(Run& run) override;
  void after_batch(Run& run) override;
  void after_epoch(Run& run) override;
  /// In a training pass, what has been gathered. Runs are resumed in the middle of those only.
  NamedTensors tensor_state() const override;
  void load_tensor_state(const NamedTensors& state) override;

 private:
  std::vector<MetricPtr> metrics_;
  bool resumed_ = false;  // the next pass goes on with what was loaded
  bool in_training_pass_ = false;
};

}  // namespace fatwood
