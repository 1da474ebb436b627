// Images of your own: made here, split, trained on; the weights saved, read back and used. Needs no
// data set: a bright square on dark noise, in one of three colours.
#include <filesystem>
#include <iostream>
#include <random>
#include <unistd.h>

#include <fatwood/data/dataset.h>
#include <fatwood/data/statistics.h>
#include <fatwood/engine/engine.h>
#include <fatwood/inspect/predictions.h>
#include <fatwood/io/safetensors.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/train_1cycle.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/seed.h>
#include <fatwood/train/weights.h>

using namespace fatwood;

namespace {

constexpr std::int64_t kSize = 16, kSquare = 6;

// However images come, a data set wants bytes: pixels (N, C, H, W) and labels (N).
ImageDataset coloured_squares(std::int64_t count) {
  std::mt19937 random(0);
  const auto below = [&random](std::int64_t bound) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(bound));
  };
  ImageDatasetParts parts{.name = "coloured squares",
                          .classes = {"red", "green", "blue"},
                          .channels = 3,
                          .height = kSize,
                          .width = kSize,
                          .pixels = {},
                          .labels = {}};
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = i % 3;
    const std::int64_t top = below(kSize - kSquare), left = below(kSize - kSquare);
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < kSize; ++y) {
        for (std::int64_t x = 0; x < kSize; ++x) {
          const bool bright =
              c == label && y >= top && y < top + kSquare && x >= left && x < left + kSquare;
          parts.pixels.push_back(static_cast<std::uint8_t>(below(100) + (bright ? 100 : 0)));
        }
      }
    }
    parts.labels.push_back(static_cast<std::uint8_t>(label));
  }
  return ImageDataset(std::move(parts));
}

// Blocks that halve the image until one pixel is left: 16, 8, 4, 2, 1.
LayerPtr make_network() {
  const auto network = CNN::kaiming({.nfs = {8, 16, 32}, .n_outputs = 3, .c_in = 3});
  use_engine(*network, Engine::fused);  // else LibTorch's operators run it
  return network;
}

}  // namespace

int main() {
  set_seed(42);
  DatasetSplit parts = split(coloured_squares(768), /*fraction=*/0.25, /*seed=*/42);
  const auto train = std::make_shared<ImageDataset>(std::move(parts.training));
  const auto held_out = std::make_shared<ImageDataset>(std::move(parts.held_out));
  const PixelStatistics pixels = pixel_statistics(*train);
  const Loaders loaders{
      image_batches(train, {.batch_size = 64, .seed = 42, .normalize = pixels}),
      image_batches(held_out, {.batch_size = 64, .shuffle = false, .normalize = pixels})};

  const LayerPtr model = make_network();
  train_1cycle(model, {.loaders = loaders, .lr = 1e-2, .n_epochs = 3, .classes = 3});
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() /
      ("fatwood-own-images-" + std::to_string(::getpid()) + ".safetensors");
  save_weights(*model, file,
               {{"mean", std::to_string(pixels.mean)}, {"std", std::to_string(pixels.std)}});

  // Another program would begin here: the same network, the file's weights and normalisation.
  const LayerPtr loaded = make_network();
  load_weights(*loaded, file);
  const Safetensors weights = Safetensors::read(file);
  const PixelStatistics normalize{.mean = std::stod(weights.metadata().at("mean")),
                                  .std = std::stod(weights.metadata().at("std"))};
  const Predictions predictions = predictions_of(loaded, held_out, {.normalize = normalize});
  const auto right = (predictions.predicted == predictions.label).sum().item<std::int64_t>();
  std::cout << right << " of " << predictions.size() << " right\n"
            << predictions.confusion() << "\n";
  std::filesystem::remove(file);
  return right * 10 >= predictions.size() * 9 ? 0 : 1;
}
