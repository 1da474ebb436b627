// What keeps a training run: its checkpoints, going on from one, and going back to one when
// training diverges. The parts are train/checkpointing.h and train/resume.h; this puts them to
// train_run's use.
#pragma once

#include <memory>
#include <optional>

#include <nlohmann/json.hpp>

#include <fatwood/data/dataset.h>
#include <fatwood/engine/choice.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/train/resume.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {

/// What decides to the last bit what a run computes, beside its options: engine, instruction set,
/// threads, device, processor, LibTorch, which layers the kernels take.
nlohmann::json machine_of(const TrainRunOptions& options, Layer& model, torch::Device device,
                          const JobData& data, const TuningPtr& tuning);

/// The data sets by name, size and digest: SHA-256 over shape, labels and every 64th image.
nlohmann::json data_of(const ImageDataset& train, const ImageDataset& eval);

struct Keeper {
  const TrainRunOptions& options;
  std::function<void(std::string_view)> say;
  RunFolder& folder;
  std::shared_ptr<RunRows> rows;
  std::shared_ptr<Recorder> recorder;
  nlohmann::json machine, data;

  /// The options of the run's Checkpointing.
  CheckpointingOptions checkpointing() const;

  /// The learner where the run's checkpoint stands, if the options ask to resume; changes no file.
  std::optional<Resumed> restore(Learner& learner) const;

  /// Trains, from `resumed` on if there is one, and rewinds as often as the options allow: to the
  /// last checkpoint, each group's rate halved, with an event row. Eight times at most in a run,
  /// however often it is resumed. `checkpointing` is the learner's, made of the options above.
  FitResult fit(Learner& learner, Checkpointing& checkpointing,
                const std::optional<Resumed>& resumed) const;

  /// Whether the model's state can be saved. Where it holds a number that is not finite, the newest
  /// checkpoint's weights take its place; false, and said, when there is none.
  bool finite_weights(Layer& model) const;

 private:
  void rewind(Learner& learner, Checkpointing& checkpointing, const std::string& reason) const;
  bool may_rewind(const Checkpointing& checkpointing) const;
};

}  // namespace fatwood
