// What GraphedSteps records, and for which batches. Private to train.
#pragma once

#include <memory>
#include <vector>

#include <ATen/autocast_mode.h>

#include <fatwood/cuda/cuda.h>
#include <fatwood/model/layer.h>
#include <fatwood/train/batch.h>

namespace fatwood {

/// Autocast to bfloat16 on the GPU while it lives. Casts are not kept from one pass to the next: a
/// graph makes them anew from the weights.
class Autocast {
 public:
  explicit Autocast(bool on) : on_(on) {
    if (!on_) return;
    was_ = at::autocast::is_autocast_enabled(at::kCUDA);
    dtype_ = at::autocast::get_autocast_dtype(at::kCUDA);
    cached_ = at::autocast::is_autocast_cache_enabled();
    at::autocast::set_autocast_enabled(at::kCUDA, true);
    at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~Autocast() {
    if (!on_) return;
    at::autocast::set_autocast_enabled(at::kCUDA, was_);
    at::autocast::set_autocast_dtype(at::kCUDA, dtype_);
    at::autocast::set_autocast_cache_enabled(cached_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool on_, was_ = false, cached_ = true;
  at::ScalarType dtype_ = at::kBFloat16;
};

struct TensorShape {
  std::vector<std::int64_t> sizes, strides;
  torch::ScalarType type = torch::kFloat;
  bool operator==(const TensorShape&) const = default;
};

inline TensorShape shape_of(const Tensor& tensor) {
  return {tensor.sizes().vec(), tensor.strides().vec(), tensor.scalar_type()};
}

/// What one recording serves.
struct GraphKey {
  Mode mode = Mode::training;
  TensorShape x, y;
  std::vector<char> taps;  // for each layer: none due, moments, histogram
  bool operator==(const GraphKey&) const = default;
};

enum TapWish : char { kNoTap, kTapNotDue, kMoments, kHistogram, kTensors };

TapWish wish_of(const Layer& layer);

struct ServedLayer {
  Layer* layer;
  TapWish wish;
  std::int64_t entry;  // in the report, where something is measured
};

struct GraphPlan {
  GraphKey key;
  int passes = 0;  // that ran as they are
  bool refused = false;
  Batch input;              // what the graph reads
  bool sources_own = true;  // `input` is the memory that the source fills each time
  Tensor predictions, loss;
  Tensor report;  // on the device: loss, gradient norms, statistics of layers
  std::vector<Tensor> gradients;
  std::vector<ServedLayer> taps;
  std::unique_ptr<cuda::Graph> graph;
};

constexpr std::int64_t kFirstTapEntry = 2;  // of the report: loss and gradient norms come before

/// Measures on the device what taps want, into the plan's report.
class MeasuringTaps : public TapDeferral {
 public:
  MeasuringTaps(GraphPlan& plan, const std::vector<LayerPtr>& known,
                cuda::StatisticsScratch& scratch)
      : plan_(plan), known_(known), scratch_(scratch) {}

  void computed(Layer& layer, const Tensor& output) override;

 private:
  GraphPlan& plan_;
  const std::vector<LayerPtr>& known_;
  cuda::StatisticsScratch& scratch_;
  std::int64_t measured_ = 0;
};

}  // namespace fatwood
