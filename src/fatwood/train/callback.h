// Callback: what can be hung into a fit. Override the events you want; docs/events.md shows when
// each is called.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/train/run.h>

namespace fatwood {

/// The order of callbacks within an event: by stage, and within a stage as they were added.
enum class Stage {
  save,      ///< checkpoints: first in, so that its cleanups come when all others have settled
  place,     ///< moves the model and the batch to a device
  data,      ///< changes the batch
  train,     ///< changes what a step does: clipping, accumulation, initialisation
  schedule,  ///< sets learning rate and momentum
  measure,   ///< metrics and statistics
  record,    ///< rows
  display,   ///< progress
  control,   ///< decides whether to go on, when everything is recorded
};

class Callback {
 public:
  virtual ~Callback() = default;

  /// For messages and for the keys of saved state: "accumulate_gradients".
  virtual std::string name() const = 0;
  virtual Stage stage() const { return Stage::train; }

  // Brackets. `after_x` is skipped by a cancel or an error; `cleanup_x` is called in reverse order
  // on exactly those callbacks whose `before_x` returned, whatever ended the bracket.
  virtual void before_fit(Run&) {}
  virtual void after_fit(Run&) {}
  virtual void cleanup_fit(Run&) {}
  virtual void before_epoch(Run&) {}
  virtual void after_epoch(Run&) {}
  virtual void cleanup_epoch(Run&) {}
  virtual void before_batch(Run&) {}
  virtual void after_batch(Run&) {}
  virtual void cleanup_batch(Run&) {}

  // Within a batch; the last two in training only.
  virtual void after_predict(Run&) {}
  virtual void after_loss(Run&) {}
  virtual void after_backward(Run&) {}
  virtual void after_step(Run&) {}

  /// What a resumed run needs to go on as if nothing had happened; null for nothing.
  virtual nlohmann::json state_dict() const;
  virtual void load_state_dict(const nlohmann::json& state);
  /// Tensors that belong to the state: averaged weights, kept gradients.
  virtual NamedTensors tensor_state() const { return {}; }
  virtual void load_tensor_state(const NamedTensors&) {}
};

using CallbackPtr = std::shared_ptr<Callback>;
using Callbacks = std::vector<CallbackPtr>;

}  // namespace fatwood
