// What the recipes on FashionMNIST share: from options to data, batches, a network and an
// optimiser.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>

#include <fatwood/data/dataset.h>
#include <fatwood/data/statistics.h>
#include <fatwood/engine/choice.h>
#include <fatwood/recipes/train_run.h>

namespace fatwood {

struct JobData {
  std::shared_ptr<const ImageDataset> train, eval;
  PixelStatistics normalize;  ///< of the training images

  std::int64_t classes() const { return static_cast<std::int64_t>(train->classes().size()); }
};

/// FashionMNIST, or what options.holdout makes of it. `say` hears of downloads; nullopt when `stop`
/// ended one.
std::optional<JobData> load_data(const TrainRunOptions& options,
                                 const std::function<void(std::string_view)>& say = {},
                                 const std::stop_token& stop = {});

/// Why a job ended that has no data for that reason.
inline constexpr const char* kDownloadInterrupted = "the download of the data was interrupted";

/// Training batches as the options say; evaluation batches in the order of the data set. For a GPU
/// the data set is copied there (train/resident_images.h), in a build with CUDA.
Loaders make_loaders(const TrainRunOptions& options, const JobData& data, torch::Device device);

/// The network with its first weights, or those of options.initial_checkpoint, on `device`; runs as
/// LibTorch does until `use_engine`.
LayerPtr make_model(const TrainRunOptions& options, const JobData& data, torch::Device device);

/// `use_engine` as options.engine, options.amp and options.tuning say; returns the tuned table that
/// it was given, nullptr where there is none or the engine does not ask it. `say` hears of an
/// instruction set on which bf16 is no gain. On a GPU the layers stay LibTorch's: there it is
/// add_graphs() that makes the engine.
TuningPtr apply_engine(const TrainRunOptions& options, Layer& model, torch::Device device,
                       const std::function<void(std::string_view)>& say = {});

/// Where options.engine is fused and `device` a GPU: adds what records training's steps as graphs
/// there (train/graphed_steps.h), and runs them in bfloat16 if options.amp says so. To be called
/// behind DevicePlacement's adding. `say` hears of what is not recorded. Throws Error{usage} for
/// bf16 in a build without CUDA.
void add_graphs(Callbacks& callbacks, const TrainRunOptions& options, torch::Device device,
                const std::function<void(std::string_view)>& say);

OptimizerPtr make_optimizer(const TrainRunOptions& options, const Layer& model);

}  // namespace fatwood
