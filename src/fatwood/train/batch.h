// Batches: where training gets its tensors from. A source answers by position, (epoch, index),
// never by history, so a run can start anywhere in an epoch and see what it would have seen.
#pragma once

#include <cstdint>
#include <memory>

#include <torch/types.h>

namespace fatwood {

using torch::Tensor;

struct Batch {
  Tensor x = {};  ///< (N, C, H, W) for images
  Tensor y = {};  ///< (N), class indices as int64 for classification

  std::int64_t size() const { return x.defined() && x.dim() > 0 ? x.size(0) : 0; }
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;

  virtual std::int64_t samples() const = 0;
  virtual std::int64_t batch_size() const = 0;  ///< of every batch but perhaps the last
  std::int64_t batches() const { return (samples() + batch_size() - 1) / batch_size(); }

  /// Batch `index` (from 0) of epoch `epoch`. Its tensors may be reused by the next call.
  virtual Batch get(std::int64_t epoch, std::int64_t index) = 0;
};

using BatchSourcePtr = std::shared_ptr<BatchSource>;

/// The two sources of a fit. `eval` may be null.
struct Loaders {
  BatchSourcePtr train = {};
  BatchSourcePtr eval = {};
};

struct TensorBatchesOptions {
  std::int64_t batch_size = 512;
  bool shuffle = false;  ///< another order every epoch, a function of (seed, epoch)
  std::uint64_t seed = 0;
};

/// Batches of tensors that are in memory: x (N, …), y (N, …).
/// Throws Error{data} when the lengths differ or are zero, Error{usage} for a batch size below 1.
BatchSourcePtr tensor_batches(Tensor x, Tensor y, const TensorBatchesOptions& options = {});

}  // namespace fatwood
