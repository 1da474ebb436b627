#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/data/batches.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/resident_images.h>

namespace fatwood {
namespace {

class ResidentImages : public BatchSource {
 public:
  ResidentImages(const ImageDataset& dataset, const ImageBatchesOptions& options,
                 torch::Device device)
      : samples_(dataset.size()),
        order_({.count = dataset.size(),
                .batch_size = options.batch_size,
                .seed = options.seed,
                .shuffle = options.shuffle}) {
    const std::int64_t c = dataset.channels(), h = dataset.height(), w = dataset.width();
    const torch::TensorOptions here = torch::TensorOptions().device(device);
    // The copies read the data set's own memory, and are done when they return.
    images_ = cuda::DeviceImages{
        .pixels = torch::from_blob(const_cast<std::uint8_t*>(dataset.pixels().data()),
                                   {samples_, c, h, w}, torch::kByte)
                      .to(device),
        .labels = torch::tensor(dataset.labels(), torch::kLong).to(device),
        .scale = static_cast<float>(1 / (255 * options.normalize.std)),
        .shift = static_cast<float>(-options.normalize.mean / options.normalize.std)};
    const std::int64_t n = std::min(options.batch_size, samples_);
    x_ = torch::empty_strided({n, c, h, w}, {c * h * w, 1, w * c, c}, here.dtype(torch::kFloat));
    y_ = torch::empty({n}, here.dtype(torch::kLong));
  }

  std::int64_t samples() const override { return samples_; }
  std::int64_t batch_size() const override { return order_.options().batch_size; }

  Batch get(std::int64_t epoch, std::int64_t index) override {
    if (!on_device_.defined() || epoch_ != epoch) {
      const EpochBatches batches = order_.epoch(epoch);
      std::vector<std::int64_t> indices;
      indices.reserve(static_cast<std::size_t>(samples_));
      for (std::int64_t i = 0; i < this->batches(); ++i) {
        const std::span<const std::int64_t> batch = batches[i];
        indices.insert(indices.end(), batch.begin(), batch.end());
      }
      on_device_ = torch::tensor(indices, torch::kLong).to(x_.device());
      epoch_ = epoch;
    }
    const std::int64_t first = index * batch_size();
    const std::int64_t n = std::min(batch_size(), samples_ - first);
    Batch batch{x_.narrow(0, 0, n), y_.narrow(0, 0, n)};
    cuda::gather_images(images_, on_device_, first, batch.x, batch.y);
    return batch;
  }

 private:
  std::int64_t samples_;
  BatchOrder order_;
  cuda::DeviceImages images_;
  Tensor on_device_;  // the order of epoch_
  std::int64_t epoch_ = -1;
  Tensor x_, y_;
};

}  // namespace

BatchSourcePtr resident_images(const ImageDataset& dataset, const ImageBatchesOptions& options,
                               torch::Device device) {
  if (!device.is_cuda() || !cuda::built()) {
    throw Error(ErrorKind::usage, "resident_images",
                "device " + device.str() + ", wanted a GPU and a build with CUDA");
  }
  return std::make_shared<ResidentImages>(dataset, options, device);
}

}  // namespace fatwood
