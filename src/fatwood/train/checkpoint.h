// What a checkpoint holds of a run, taken out of it and put back: weights, optimiser, gradients
// that were kept, callbacks, random numbers, position. The file is io/checkpoint_file.h's, when to
// write one checkpointing.h's, going on from one resume.h's.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <fatwood/io/checkpoint_file.h>
#include <fatwood/train/learner.h>

namespace fatwood {

/// Between two batches: what the run does next.
struct Position {
  std::int64_t epoch = 0;
  Mode pass = Mode::training;
  std::int64_t batch = 0;  ///< of that pass; the number of its batches where it only has to close

  bool operator==(const Position&) const = default;
};

/// Training batches before `position`, in epochs of `batches`.
std::int64_t step_at(const Position& position, std::int64_t batches);

/// A copy of a run's state in the CPU's memory. Taking another one into the same object reuses its
/// memory, so that a snapshot costs the copying alone.
class Snapshot {
 public:
  /// `more`, null or an object, is added to what the checkpoint says of itself: {"machine": …}.
  void take(const Run& run, const Position& position, const nlohmann::json& more);

  const nlohmann::json& about() const { return about_; }
  std::int64_t step() const { return step_; }
  std::vector<TensorView> views() const;
  std::uint64_t bytes() const;
  /// The name of the first tensor of the model that holds a number that is not finite; "" for none.
  std::string first_not_finite() const;

 private:
  void add(const std::string& name, const Tensor& tensor);

  nlohmann::json about_;
  std::int64_t step_ = 0;
  NamedTensors tensors_;
  std::size_t used_ = 0;  // of tensors_, while it is filled
};

/// Puts a checkpoint's state into the learner: model, optimiser, gradients, random numbers, the
/// callbacks of the learner and `extra`; the next fit starts at its position. Throws
/// Error{model} naming what does not fit, Error{usage} when the training batches, the optimiser or
/// the callbacks are not those of the checkpoint; the learner is then not to be used further.
Position restore(const CheckpointFile& file, Learner& learner, const Callbacks& extra = {});

/// "epoch 1, batch 20"
std::string describe(const Position& position);

}  // namespace fatwood
