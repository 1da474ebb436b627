// The page's residual network on FashionMNIST, in three epochs.
#include <iostream>

#include <fatwood/data/fashion_mnist.h>
#include <fatwood/engine/engine.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/recipes/train_1cycle.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/seed.h>

using namespace fatwood;

int main() {
  set_seed(42);
  FashionMnist mnist = load_fashion_mnist(FashionMnistPlaces::from_environment());
  const auto train = std::make_shared<ImageDataset>(std::move(mnist.training));
  const auto test = std::make_shared<ImageDataset>(std::move(mnist.test));
  const PixelStatistics pixels = pixel_statistics(*train);
  const Loaders loaders{image_batches(train, {.seed = 42, .normalize = pixels}),
                        image_batches(test, {.shuffle = false, .normalize = pixels})};

  const auto model = DeeperCNN::kaiming({.block = make<ResidualConvBlock>});
  use_engine(*model, Engine::fused);  // else LibTorch's operators run it
  const Train1CycleResult result =
      train_1cycle(model, {.loaders = loaders, .lr = 1e-2, .n_epochs = 3});

  for (const EpochRow& row : result.recorder->epochs()) {
    std::cout << row.epoch << " " << name_of(row.mode);
    for (const auto& [name, value] : row.metrics) std::cout << "  " << name << " " << value;
    std::cout << "\n";
  }
}
