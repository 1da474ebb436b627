#include <fatwood/core/error.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/batch.h>
#include <fatwood/train/epoch_order.h>

namespace fatwood {
namespace {

class TensorBatches : public BatchSource {
 public:
  TensorBatches(Tensor x, Tensor y, const TensorBatchesOptions& options)
      : x_(std::move(x)),
        y_(std::move(y)),
        order_({.count = x_.size(0),
                .batch_size = options.batch_size,
                .seed = options.seed,
                .shuffle = options.shuffle}) {}

  std::int64_t samples() const override { return x_.size(0); }
  std::int64_t batch_size() const override { return order_.options().batch_size; }

  Batch get(std::int64_t epoch, std::int64_t index) override {
    const std::span<const std::int64_t> indices = order_.batch(epoch, index);
    const auto n = static_cast<std::int64_t>(indices.size());
    if (!order_.options().shuffle)
      return {x_.narrow(0, indices.front(), n), y_.narrow(0, indices.front(), n)};
    const Tensor rows =
        torch::tensor(torch::ArrayRef<std::int64_t>(indices.data(), indices.size()), torch::kLong);
    return {x_.index_select(0, rows.to(x_.device())), y_.index_select(0, rows.to(y_.device()))};
  }

 private:
  Tensor x_, y_;
  EpochOrder order_;
};

}  // namespace

BatchSourcePtr tensor_batches(Tensor x, Tensor y, const TensorBatchesOptions& options) {
  if (x.dim() < 1 || y.dim() < 1 || x.size(0) != y.size(0) || x.size(0) == 0) {
    throw Error(ErrorKind::data, "tensor_batches",
                "x " + shape_text(x.sizes()) + " and y " + shape_text(y.sizes()) +
                    ", wanted the same number of samples, one or more");
  }
  return std::make_shared<TensorBatches>(std::move(x), std::move(y), options);
}

}  // namespace fatwood
