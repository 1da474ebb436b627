// Training on an NVIDIA GPU as recorded work: forward pass, loss, backward pass and what is
// measured of them are one CUDA graph, which the host launches in a few microseconds; the
// optimiser's step follows it, so that whatever callbacks do to gradients in between is done.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <fatwood/train/callback.h>

namespace fatwood {

struct GraphedStepsOptions {
  bool bf16 = false;  ///< the forward pass under autocast to bfloat16, predictions back in float
  std::function<void(std::string_view)> say = {};  ///< told once why something is not recorded
  /// LibTorch's library measures its convolutions' algorithms at the first batch of each shape and
  /// takes the fastest, where deterministic algorithms are not asked for; else it takes what it
  /// thinks best.
  bool measure_algorithms = true;
};

/// Replaces a fit's predict, get_loss and backward by graphs, and lets layers use cuda's kernels,
/// where the run's device is a GPU and the build has CUDA (cuda::built()); elsewhere it does
/// nothing. To be added behind DevicePlacement.
///
/// A graph is recorded for each shape of batch and each set of activation statistics, at the third
/// such batch; the two before run as they are, and make LibTorch's choices. A batch runs as it is,
/// too, when a tap wants the tensors themselves, when another callback has replaced the loss's or
/// the backward part, when gradients are kept from the batch before, or when its work cannot be
/// recorded. Predictions, loss and gradients of a recorded batch are overwritten by the next of its
/// kind, and the pass runs on a stream of its own.
///
/// A fit ends in Error{usage} when a callback replaced `predictions` or `loss` of a recorded batch,
/// whose backward pass has been made already.
class GraphedSteps : public Callback {
 public:
  using Options = GraphedStepsOptions;
  explicit GraphedSteps(Options options = {});
  ~GraphedSteps() override;

  std::string name() const override { return "graphed_steps"; }
  Stage stage() const override { return Stage::place; }
  void before_fit(Run& run) override;
  void cleanup_fit(Run& run) override;

  /// Batches of this fit that were replayed from a graph.
  std::int64_t replayed() const;

 private:
  struct Steps;
  Options options_;
  std::shared_ptr<Steps> steps_;  // of the fit in hand, or of the last
};

/// Parameters of four dimensions in channels-last order, as the tensor cores want them. Before an
/// optimiser is made: its state takes the parameters' order.
void use_channels_last(torch::nn::Module& model);

}  // namespace fatwood
