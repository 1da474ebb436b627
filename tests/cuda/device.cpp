#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/cuda/cuda.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/resident_images.h>

#include "cuda/gpu.h"

namespace fatwood {
namespace {

using GpuDevice = Gpu;

std::shared_ptr<const ImageDataset> random_images(std::int64_t n, std::int64_t channels,
                                                  std::int64_t height, std::int64_t width) {
  ImageDatasetParts parts{.name = "random",
                          .classes = {"a", "b", "c"},
                          .channels = channels,
                          .height = height,
                          .width = width,
                          .pixels = {},
                          .labels = {}};
  const Tensor pixels = torch::randint(256, {n * channels * height * width}, torch::kByte);
  for (std::int64_t i = 0; i < pixels.numel(); ++i)
    parts.pixels.push_back(static_cast<Bytes::value_type>(pixels.data_ptr<std::uint8_t>()[i]));
  for (std::int64_t i = 0; i < n; ++i)
    parts.labels.push_back(static_cast<Bytes::value_type>(i % 3));
  return std::make_shared<ImageDataset>(std::move(parts));
}

TEST_F(GpuDevice, resident_images_are_the_processors) {
  for (const std::int64_t channels : {1, 3}) {
    const auto images = random_images(23, channels, 5, 7);
    const ImageBatchesOptions options{
        .batch_size = 10, .shuffle = true, .seed = 3, .normalize = {.mean = 0.4, .std = 0.3}};
    const BatchSourcePtr here = image_batches(images, options);
    const BatchSourcePtr there = resident_images(*images, options, torch::kCUDA);
    ASSERT_EQ(there->batches(), 3);
    for (const std::int64_t epoch : {0, 1, 0}) {
      for (std::int64_t i = 0; i < there->batches(); ++i) {
        const Batch wanted = here->get(epoch, i);
        const Batch found = there->get(epoch, i);
        EXPECT_TRUE(found.y.to(torch::kCPU).equal(wanted.y)) << epoch << ", " << i;
        EXPECT_TRUE(torch::allclose(found.x.to(torch::kCPU), wanted.x, 1e-6, 1e-6))
            << channels << " channels, " << epoch << ", " << i;
        EXPECT_EQ(found.x.strides(), wanted.x.strides());
      }
    }
  }
}

TEST_F(GpuDevice, a_graph_does_again_what_was_recorded) {
  const cuda::OwnStream stream;
  const Tensor x = to_gpu(torch::ones({4}));
  Tensor y;
  const auto work = [&] { y = x * 2 + 1; };
  work();
  cuda::Graph graph(work);
  for (const double value : {1.0, 5.0}) {
    x.fill_(value);
    graph.replay();
    EXPECT_EQ(y.sum().item<double>(), 4 * (2 * value + 1));
  }
}

TEST_F(GpuDevice, what_cannot_be_recorded_leaves_the_device_usable) {
  const cuda::OwnStream stream;
  const Tensor x = to_gpu(torch::ones({4}));
  EXPECT_THROW(cuda::Graph([&] { (x + x.sum().item<double>()).sum(); }), c10::Error);
  EXPECT_EQ((x + 1).sum().item<double>(), 8);
  EXPECT_EQ(torch::randn({3}, x.options()).numel(), 3);
  cuda::Graph graph([&] { x.add_(1); });
  graph.replay();
  EXPECT_EQ(x.sum().item<double>(), 8);
}

}  // namespace
}  // namespace fatwood
