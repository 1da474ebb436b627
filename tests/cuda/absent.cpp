#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/cross_entropy.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/train/graphed_steps.h>
#include <fatwood/train/resident_images.h>

#include "support/thrown.h"
#include "train/tiny.h"

namespace fatwood {
namespace {

ImageDataset two_images() {
  return ImageDataset({.name = "two",
                       .classes = {"one"},
                       .channels = 1,
                       .height = 1,
                       .width = 1,
                       .pixels = Bytes(2),
                       .labels = Bytes(2)});
}

TEST(Cuda, images_want_a_gpu_to_reside_on) {
  EXPECT_THAT(thrown_by([] { resident_images(two_images(), {.batch_size = 2}, torch::kCPU); }),
              error_with(ErrorKind::usage, "device cpu, wanted a GPU"));
}

TEST(Cuda, what_a_build_lacks_is_refused) {
  if (cuda::built()) GTEST_SKIP() << "this build has CUDA";
  EXPECT_THAT(thrown_by([] { cuda::OwnStream stream; }),
              error_with(ErrorKind::usage, "this build is without CUDA"));
  EXPECT_THAT(thrown_by([] { cuda::Graph graph([] {}); }),
              error_with(ErrorKind::usage, "this build is without CUDA"));
  EXPECT_THAT(thrown_by([] { cuda::StatisticsScratch scratch; }),
              error_with(ErrorKind::usage, "this build is without CUDA"));
  EXPECT_FALSE(cuda::measurable(torch::ones({2})));
  const cuda::OwnKernels own;
  const Tensor x = torch::ones({2, 10}), image = torch::ones({2, 4, 3, 3});
  torch::nn::BatchNorm2d norm(4);
  EXPECT_FALSE(cuda::takes_cross_entropy(x, torch::zeros({2}, torch::kLong)));
  EXPECT_FALSE(cuda::takes_norm(image, *norm));
  EXPECT_THAT(thrown_by([&] { cuda::cross_entropy(x, torch::zeros({2}, torch::kLong)); }),
              error_with(ErrorKind::usage, "this build is without CUDA"));
  EXPECT_THAT(thrown_by([&] { cuda::norm_relu(image, *norm); }),
              error_with(ErrorKind::usage, "this build is without CUDA"));
}

TEST(Cuda, graphed_steps_leave_a_fit_on_the_processor_alone) {
  const auto weights_after = [](Callbacks callbacks) {
    Learner learner = tiny_learner(std::move(callbacks));
    learner.fit(2);
    return learner.run().model->parameters()[0].detach().clone();
  };
  const auto graphs = std::make_shared<GraphedSteps>();
  EXPECT_TRUE(weights_after({graphs}).equal(weights_after({})));
  EXPECT_EQ(graphs->replayed(), 0);
}

}  // namespace
}  // namespace fatwood
