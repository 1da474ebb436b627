#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/kernels/gather.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/threads.h>
#include <fatwood/train/epoch_order.h>
#include <fatwood/train/image_batches.h>

namespace fatwood {
namespace {

class ImageBatches : public BatchSource {
 public:
  ImageBatches(std::shared_ptr<const ImageDataset> dataset, const ImageBatchesOptions& options)
      : dataset_(std::move(dataset)),
        order_({.count = dataset_->size(),
                .batch_size = options.batch_size,
                .seed = options.seed,
                .shuffle = options.shuffle}),
        images_{.bytes = reinterpret_cast<const std::uint8_t*>(dataset_->pixels().data()),
                .count = dataset_->size(),
                .channels = static_cast<int>(dataset_->channels()),
                .height = static_cast<int>(dataset_->height()),
                .width = static_cast<int>(dataset_->width())},
        scaling_{.scale = static_cast<float>(1 / (255 * options.normalize.std)),
                 .shift = static_cast<float>(-options.normalize.mean / options.normalize.std)} {
    const std::int64_t n = std::min(options.batch_size, dataset_->size());
    const std::int64_t c = dataset_->channels(), h = dataset_->height(), w = dataset_->width();
    // With one channel contiguous and channels-last tensors have the same bytes; only these strides
    // make LibTorch's operators take the channels-last way.
    x_ = torch::empty_strided({n, c, h, w}, {c * h * w, 1, w * c, c}, torch::kFloat);
    y_ = torch::empty({n}, torch::kLong);
  }

  std::int64_t samples() const override { return dataset_->size(); }
  std::int64_t batch_size() const override { return order_.options().batch_size; }

  Batch get(std::int64_t epoch, std::int64_t index) override {
    const std::span<const std::int64_t> indices = order_.batch(epoch, index);
    const auto n = static_cast<std::int64_t>(indices.size());
    kernels::gather(images_, indices, {&scaling_, 1}, kernels::ImageLayout::nhwc,
                    x_.data_ptr<float>(), torch_threads());
    const std::vector<std::int64_t>& labels = dataset_->labels();
    std::transform(indices.begin(), indices.end(), y_.data_ptr<std::int64_t>(),
                   [&labels](std::int64_t i) { return labels[static_cast<std::size_t>(i)]; });
    return {x_.narrow(0, 0, n), y_.narrow(0, 0, n)};
  }

 private:
  std::shared_ptr<const ImageDataset> dataset_;
  EpochOrder order_;
  kernels::ByteImages images_;
  kernels::ByteScaling scaling_;
  Tensor x_, y_;
};

}  // namespace

BatchSourcePtr image_batches(std::shared_ptr<const ImageDataset> dataset,
                             const ImageBatchesOptions& options) {
  if (!dataset) throw Error(ErrorKind::usage, "image_batches", "no data set");
  return std::make_shared<ImageBatches>(std::move(dataset), options);
}

}  // namespace fatwood
