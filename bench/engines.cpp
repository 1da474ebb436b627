// One training step under `--engine torch` and `--engine fused`, part by part: the two alternate on
// the same batch; quoted are medians and minima, and the ratio pair by pair.
//
//     bench_engines [model] [batch] [pairs] [input]      e.g. bench_engines resnet18 512 11 1x28x28
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include <fatwood/core/allocator.h>
#include <fatwood/engine/engine.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/train/optimizer.h>

#include "median.h"

namespace fatwood {
namespace {

constexpr const char* kParts[] = {"forward", "loss", "backward", "optimiser", "step"};

struct Trained {
  LayerPtr model;
  OptimizerPtr optimizer;
  std::vector<double> ms[5];

  void step(const Tensor& x, const Tensor& y) {
    double laps[5] = {};
    auto mark = std::chrono::steady_clock::now();
    const auto lap = [&](int part) {
      const auto now = std::chrono::steady_clock::now();
      laps[part] = std::chrono::duration<double, std::milli>(now - mark).count();
      laps[4] += laps[part];
      mark = now;
    };
    const Tensor logits = model->forward(x);
    lap(0);
    const Tensor loss = torch::cross_entropy_loss(logits, y);
    lap(1);
    loss.backward();
    lap(2);
    optimizer->step();
    optimizer->zero_grad();
    lap(3);
    for (int part = 0; part < 5; ++part) ms[part].push_back(laps[part]);
  }
};

int run(int argc, char** argv) {
  keep_freed_memory();
  const std::string name = argc > 1 ? argv[1] : "resnet18";
  const std::int64_t batch = argc > 2 ? std::stoll(argv[2]) : 512;
  const int pairs = argc > 3 ? std::stoi(argv[3]) : 11;
  int channels = 1, height = 28, width = 28;
  if (argc > 4) {
    char by = 0;
    std::istringstream(argv[4]) >> channels >> by >> height >> by >> width;
  }
  torch::manual_seed(0);
  Trained engines[2];
  for (Engine engine : {Engine::torch, Engine::fused}) {
    Trained& trained = engines[engine == Engine::fused];
    trained.model = build_model(name, {.c_in = channels, .n_outputs = 10, .nfs = {}});
    trained.optimizer = adamw(*trained.model);
    use_engine(*trained.model, engine);
  }
  // Channels-last strides, as the library's batches have.
  const Tensor x = torch::empty({batch, height, width, channels}).normal_().permute({0, 3, 1, 2});
  const Tensor y = torch::randint(10, {batch});
  for (int pair = 0; pair < pairs + 2; ++pair) {
    for (Trained& trained : engines) trained.step(x, y);
  }
  std::vector<double> ratios;
  for (int pair = 2; pair < pairs + 2; ++pair) {
    const auto i = static_cast<std::size_t>(pair);
    ratios.push_back(engines[0].ms[4][i] / engines[1].ms[4][i]);
  }
  std::printf("%s, batch %lld of %dx%dx%d, %d threads, %s: ms, median (minimum) of %d\n",
              name.c_str(), static_cast<long long>(batch), channels, height, width,
              at::get_num_threads(), std::string(kernels::name_of(kernels::default_isa())).c_str(),
              pairs);
  std::printf("%-10s %18s %18s\n", "", "torch", "fused");
  for (int part = 0; part < 5; ++part) {
    std::printf("%-10s", kParts[part]);
    for (Trained& trained : engines) {
      std::vector<double> values(trained.ms[part].begin() + 2, trained.ms[part].end());
      std::printf(" %9.2f (%6.2f)", median(values),
                  *std::min_element(values.begin(), values.end()));
    }
    std::printf("\n");
  }
  std::printf("torch / fused: median %.3f, least %.3f\n", median(ratios),
              *std::min_element(ratios.begin(), ratios.end()));
  return 0;
}

}  // namespace
}  // namespace fatwood

int main(int argc, char** argv) {
  return fatwood::run(argc, argv);
}
