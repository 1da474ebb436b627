// What fatwood adds to LibTorch on an NVIDIA GPU: graphs of recorded work, and kernels for what
// LibTorch makes of many small ones. Pointers and tensors only; how training uses them is train's
// business (train/graphed_steps.h, train/resident_images.h).
//
// It is part of a build whose LibTorch has CUDA and that finds the headers of CUDA's runtime;
// without them built() is false, and everything else here throws Error{usage}.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <torch/types.h>

namespace fatwood::cuda {

using torch::Tensor;

bool built();

/// Makes a stream of its own the thread's current one, as recording wants it, until it goes; waits
/// for the device at both ends.
class OwnStream {
 public:
  OwnStream();
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Work that was recorded once and is run again by one launch, on the tensors that it was recorded
/// with.
class Graph {
 public:
  /// Records what `work` asks of the device, which does none of it. To be called on an OwnStream,
  /// after `work` has been done there before. Throws what `work` throws, among it c10::Error for
  /// work that cannot be recorded, such as reading a value; the device is then as before.
  explicit Graph(const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Runs it on the current stream, which it does not wait for.
  void replay();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A data set on the device: pixels (N, C, H, W) of bytes, labels (N) of int64.
struct DeviceImages {
  Tensor pixels, labels;
  float scale = 1.0F / 255;  ///< x = byte·scale + shift
  float shift = 0;
};

/// x[i] = scaled image order[first + i], y[i] its label. x: float (n, C, H, W) in channels-last
/// order; y: int64 (n); order: int64, its entries from `first` on in [0, N), which is not checked.
void gather_images(const DeviceImages& images, const Tensor& order, std::int64_t first,
                   const Tensor& x, const Tensor& y);

/// One update of AdamW for many parameters, in one launch. Equal to at::_fused_adamw_.
class AdamWPass {
 public:
  struct Rates {
    double lr, beta1, beta2, weight_decay, eps;
    double step;  ///< of this update, from 1
  };
  /// The lists are of equal length; each parameter, its gradient and its averages are dense floats
  /// of the same strides on the device.
  void run(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
           const std::vector<Tensor>& exp_avgs, const std::vector<Tensor>& exp_avg_sqs,
           const Rates& rates);

 private:
  struct Table {
    std::vector<std::int64_t> words;  // slices, then chunks, as the kernel reads them
    std::int64_t chunks = 0;
    Tensor on_device;
  };
  std::vector<Table> tables_;  // of the latest sets of tensors
};

/// What a tensor's statistics take on the device: mean, deviation and 40 counts, as doubles.
constexpr std::int64_t kStatistics = 42;

/// Memory that measuring works in; one for all that run after one another.
class StatisticsScratch {
 public:
  StatisticsScratch();
  Tensor partials, counters;
};

/// Whether measure() takes such a tensor: dense, float or bfloat16, on the device.
bool measurable(const Tensor& x);

/// Mean, unbiased deviation and with `hist` the counts of |x| in 40 bins over [0, 10], to
/// out[0, kStatistics), without waiting for the device.
void measure(const Tensor& x, bool hist, StatisticsScratch& scratch, const Tensor& out);

}  // namespace fatwood::cuda
