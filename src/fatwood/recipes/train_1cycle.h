// train_1cycle: the page's training in one call.
#pragma once

#include <memory>
#include <stop_token>

#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/recorder.h>

namespace fatwood {

struct Train1CycleOptions {
  Loaders loaders = {};  ///< wanted
  double lr = 1e-2;      ///< highest rate of the cycle
  std::int64_t n_epochs = 3;
  std::int64_t classes = 10;  ///< for the accuracy
  torch::Device device = torch::kCPU;
  std::stop_token stop = {};           ///< ends the fit after the batch in hand
  Callbacks callbacks = {};            ///< more of them
  std::vector<RowSinkPtr> sinks = {};  ///< where rows go as they come
  bool statistics = true;              ///< of the activations
};

struct Train1CycleResult {
  FitResult fit;
  std::shared_ptr<Recorder> recorder;       ///< rows of all batches and epochs
  std::shared_ptr<StoreModuleStats> stats;  ///< null without statistics
};

/// AdamW with PyTorch's defaults, cross-entropy, one cycle over n_epochs stepped per batch, macro
/// accuracy and mean loss. Throws Error{usage} for a rate that is not a positive number or no
/// epochs.
Train1CycleResult train_1cycle(const LayerPtr& model, const Train1CycleOptions& options);

}  // namespace fatwood
