// What the training loop costs: a whole pass of `Learner`, with metrics, schedule, recorder and the
// run folder's files, against a bare LibTorch loop of the same network, layout, optimiser, batches
// and allocator settings. The two alternate, pass by pass; quoted are medians and the ratio pair by
// pair.
//
//     bench_train_loop [model] [pairs] [stats]      e.g. bench_train_loop deeper_cnn 7 moments
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <unistd.h>
#include <vector>

#include <torch/version.h>

#include <fatwood/core/allocator.h>
#include <fatwood/core/machine.h>
#include <fatwood/data/fashion_mnist.h>
#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/report/progress.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/run_folder.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/stopping.h>

#include "median.h"

namespace fatwood {
namespace {

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Forward, cross-entropy, backward, fused AdamW: nothing else.
void bare_pass(Layer& model, Optimizer& optimizer, BatchSource& batches, std::int64_t epoch) {
  model.train();
  for (std::int64_t i = 0; i < batches.batches(); ++i) {
    const Batch batch = batches.get(epoch, i);
    const Tensor loss = torch::cross_entropy_loss(model.forward(batch.x), batch.y);
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
  }
}

int run(const std::string& name, int pairs, const std::string& stats) {
  keep_freed_memory();
  FashionMnist mnist = load_fashion_mnist(FashionMnistPlaces::from_environment());
  const auto train = std::make_shared<ImageDataset>(std::move(mnist.training));
  const PixelStatistics pixels = pixel_statistics(*train);
  const BatchSourcePtr batches = image_batches(train, {.normalize = pixels});

  torch::manual_seed(0);
  const LayerPtr bare = build_model(name);
  const auto ours = std::dynamic_pointer_cast<Layer>(bare->clone());
  const OptimizerPtr bare_optimizer = adamw(*bare, {.lr = 1e-3});

  const auto path =
      std::filesystem::temp_directory_path() / ("fatwood-bench-" + std::to_string(::getpid()));
  std::vector<double> bare_s, ours_s, ratios;
  {
    RunFolder folder(path, true);
    std::string screen;
    const auto progress =
        std::make_shared<ProgressDisplay>(Terminal(screen, {.redraws = true}, {100, 30}));
    const auto recorder =
        std::make_shared<Recorder>(std::vector<RowSinkPtr>{folder.rows(), progress});
    Callbacks callbacks{
        std::make_shared<StopOnDivergence>(), Metrics::usual(10), recorder,
        std::make_shared<Scheduling>(one_cycle({.total_steps = batches->batches()}))};
    if (stats != "off") {
      callbacks.push_back(std::make_shared<StoreModuleStats>(
          StoreModuleStatsOptions{.hist_period = stats == "all" ? 1 : 8}, recorder));
    }
    const Loaders loaders{batches, nullptr};
    Learner learner({.model = ours,
                     .loaders = loaders,
                     .optimizer = adamw(*ours, {.lr = 1e-3}),
                     .callbacks = std::move(callbacks)});
    bare_pass(*bare, *bare_optimizer, *batches, 0);
    learner.fit(1);
    for (int pair = 0; pair < pairs; ++pair) {
      bare_s.push_back(seconds([&] { bare_pass(*bare, *bare_optimizer, *batches, 0); }));
      ours_s.push_back(seconds([&] { learner.fit(1); }));
      ratios.push_back(ours_s.back() / bare_s.back());
    }
  }
  std::filesystem::remove_all(path);

  const auto steps = static_cast<double>(batches->batches());
  const Machine machine = this_machine();
  std::printf("%s, batch 512, %d pairs of passes, statistics %s; %s, %d threads, LibTorch %s\n",
              name.c_str(), pairs, stats.c_str(), machine.cpu.c_str(), at::get_num_threads(),
              TORCH_VERSION);
  std::printf("bare loop    %8.2f ms a step (median)\n", median(bare_s) / steps * 1e3);
  std::printf("fatwood      %8.2f ms a step (median)\n", median(ours_s) / steps * 1e3);
  std::printf("ratio        %8.4f (median of pairs, %.4f to %.4f)\n", median(ratios),
              *std::min_element(ratios.begin(), ratios.end()),
              *std::max_element(ratios.begin(), ratios.end()));
  return 0;
}

}  // namespace
}  // namespace fatwood

int main(int argc, char** argv) {
  return fatwood::run(argc > 1 ? argv[1] : "deeper_cnn", argc > 2 ? std::stoi(argv[2]) : 7,
                      argc > 3 ? argv[3] : "moments");
}
