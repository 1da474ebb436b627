#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/train_1cycle.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/norm_check.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/stopping.h>
#include <fatwood/train/transforms.h>

namespace fatwood {

Train1CycleResult train_1cycle(const LayerPtr& model, const Train1CycleOptions& options) {
  if (!options.loaders.train) throw Error(ErrorKind::usage, "train_1cycle", "no training batches");
  check_norms(*model, *options.loaders.train);
  Train1CycleResult result;
  result.recorder = std::make_shared<Recorder>(options.sinks);
  Callbacks callbacks = options.callbacks;
  callbacks.insert(callbacks.end(),
                   {std::make_shared<DevicePlacement>(), std::make_shared<StopOnDivergence>(),
                    Metrics::usual(options.classes), result.recorder,
                    std::make_shared<StopOnRequest>(options.stop)});
  if (options.statistics) {
    result.stats = std::make_shared<StoreModuleStats>(StoreModuleStatsOptions{}, result.recorder);
    callbacks.push_back(result.stats);
  }
  const std::int64_t steps = options.loaders.train->batches() * options.n_epochs;
  callbacks.push_back(std::make_shared<Scheduling>(one_cycle({.total_steps = steps})));
  Learner learner({.model = model,
                   .loaders = options.loaders,
                   .optimizer = adamw(*model, {.lr = options.lr}),
                   .callbacks = std::move(callbacks),
                   .device = options.device});
  result.fit = learner.fit(options.n_epochs);
  return result;
}

}  // namespace fatwood
