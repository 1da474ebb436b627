// A tap is a request to look at a layer's output: the forward hook that LibTorch lacks, stated as
// data before the run, so that an engine which never materialises an activation can still serve it.
// Activation statistics, summaries and LSUV are taps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <torch/types.h>

#include <fatwood/core/rows.h>

namespace fatwood {

using torch::Tensor;
class Layer;

/// Statistics of one activation tensor.
struct ActivationStatistics {
  double mean = 0;
  double std = 0;  ///< unbiased, as `Tensor::std()`
  std::vector<std::int64_t>
      hist;  ///< 40 counts of |x| over [0, 10], as `histc`; empty unless asked for
};

/// What a tap wants, and when.
struct TapRequest {
  bool moments = false;          ///< mean and deviation of the output
  std::int64_t hist_period = 0;  ///< histogram at every n-th serving; 0: never. Implies moments.
  bool tensors = false;          ///< the input and the output themselves
  bool training = true;          ///< serve forward passes in training mode
  bool evaluation = false;       ///< serve forward passes in evaluation mode
  std::int64_t period = 1;       ///< serve every n-th such pass
  std::int64_t first_pass = 0;   ///< number of the first such pass: where a resumed run stands
};

/// One serving. The references hold only during the call; under a fused engine the tensors are
/// there only if the request asked for them.
struct TapReading {
  const Layer& layer;
  Mode mode;
  const Tensor& input;
  const Tensor& output;
  std::optional<ActivationStatistics> statistics;
};

struct Tap {
  TapRequest request = {};
  std::function<void(const TapReading&)> deliver = {};
  std::function<void()> before =
      {};  ///< called before the layer computes, whenever `deliver` will be
};

/// Keeps a tap in place; removing it is destruction.
class [[nodiscard]] TapHandle {
 public:
  TapHandle() = default;
  TapHandle(std::weak_ptr<torch::nn::Module> layer, std::int64_t id)
      : layer_(std::move(layer)), id_(id) {}
  TapHandle(TapHandle&& other) noexcept : layer_(std::move(other.layer_)), id_(other.id_) {
    other.layer_.reset();
  }
  TapHandle& operator=(TapHandle&& other) noexcept;
  TapHandle(const TapHandle&) = delete;
  TapHandle& operator=(const TapHandle&) = delete;
  ~TapHandle() { remove(); }
  void remove() noexcept;

 private:
  std::weak_ptr<torch::nn::Module> layer_;
  std::int64_t id_ = 0;
};

/// While one lives, this thread's layers that have taps give it what they computed and serve none:
/// for an engine that serves them later, through Layer::serve_taps. The newest one counts.
class TapDeferral {
 public:
  TapDeferral() : outer_(active_) { active_ = this; }
  virtual ~TapDeferral() { active_ = outer_; }
  TapDeferral(const TapDeferral&) = delete;
  TapDeferral& operator=(const TapDeferral&) = delete;

  virtual void computed(Layer& layer, const Tensor& output) = 0;
  static TapDeferral* active() { return active_; }

 private:
  TapDeferral* outer_;
  static thread_local TapDeferral* active_;
};

/// Mean, unbiased deviation and, if `hist`, the histogram of |x| of a dense float tensor of any
/// layout. Source of the definitions: `torch::mean`, `torch::std`, `torch::histc(|x|, 40, 0, 10)`.
ActivationStatistics measure_activation(const Tensor& x, bool hist);

/// The same from what cuda::measure wrote: mean, deviation and, if `hist`, the counts.
ActivationStatistics statistics_of(const double* measured, bool hist);

}  // namespace fatwood
