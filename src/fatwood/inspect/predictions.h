// Predictions: what a model takes each sample of a data set for. Gathered from an evaluation pass
// that is run anyway (KeepPredictions) or from one of its own (predictions_of); what
// `predictions.json` and the report's confusion matrix and galleries are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/data/dataset.h>
#include <fatwood/data/statistics.h>
#include <fatwood/train/callback.h>

namespace fatwood {

/// One pass through N samples, in the order of the pass; tensors of (N) on the CPU.
struct Predictions {
  Tensor label = {}, predicted = {};  ///< int64
  Tensor probability = {};            ///< double, of the predicted class
  Tensor loss = {};                   ///< double, cross-entropy in nats
  std::int64_t classes = 0;           ///< that the model tells apart
  std::int64_t epoch = 0;             ///< of the pass
  std::int64_t step = 0;              ///< training steps that the model had made

  std::int64_t size() const { return label.defined() ? label.size(0) : 0; }

  /// (classes, classes): counts, row = true class, column = predicted class.
  Tensor confusion() const;

  /// Up to `count` positions of the largest losses, the largest first (of equal ones the first in
  /// the pass first; a loss that is not a number counts as the largest), or of the smallest.
  std::vector<std::int64_t> worst(std::int64_t count) const;
  std::vector<std::int64_t> best(std::int64_t count) const;
};

/// Watches the evaluation passes of a fit and keeps the last complete one; costs a softmax a batch.
/// With `AveragedWeights` these are the average's predictions, as the metrics are. Checkpoints hold
/// them up to 4096 classes; a fit that is resumed behind its last evaluation has none of more.
class KeepPredictions : public Callback {
 public:
  std::string name() const override { return "keep_predictions"; }
  Stage stage() const override { return Stage::measure; }
  void before_epoch(Run& run) override;
  /// Throws Error{usage} unless predictions are (N, C) and targets (N) class indices.
  void after_batch(Run& run) override;
  void after_epoch(Run& run) override;
  NamedTensors tensor_state() const override;
  void load_tensor_state(const NamedTensors& state) override;

  /// Nothing before the end of the first evaluation pass.
  const std::optional<Predictions>& last() const { return last_; }

 private:
  std::vector<Predictions> batches_;  // of the pass in hand
  std::optional<Predictions> last_;
};

struct PredictionsOptions {
  std::int64_t batch_size = 512;
  PixelStatistics normalize = {};  ///< as the model was trained
  torch::Device device = torch::kCPU;
};

/// One evaluation pass through `dataset` in its own order; the model's mode stays as it is.
Predictions predictions_of(const LayerPtr& model, std::shared_ptr<const ImageDataset> dataset,
                           const PredictionsOptions& options = {});

/// `predictions.json` of a run folder (docs/run-folder.md), with the pixels of the `samples` worst
/// and best. The pass must have run through `dataset` in its own order, else Error{usage}: another
/// number of samples, or other labels.
nlohmann::json to_json(const Predictions& predictions, const ImageDataset& dataset,
                       std::int64_t samples = 16);

}  // namespace fatwood
