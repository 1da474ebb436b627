// One contestant of bench/cuda/run.py: trains a network on random images that reside on the GPU,
// the gathering of each batch, the learning rate's schedule and AdamW included.
//
//     bench_cuda CONTESTANT NETWORK ROUNDS STEPS
//
// CONTESTANT is graphs, graphs-bf16, graphs-unmeasured (cuDNN's algorithms as it thinks best) or
// operators: LibTorch's operators one by one, the data set and AdamW as with graphs. Prints
// the version of LibTorch, then for each round the milliseconds of a step, of STEPS that follow one
// another without reading anything back. The first round makes LibTorch's choices and is not
// printed.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/train/graphed_steps.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/resident_images.h>
#include <fatwood/train/scheduling.h>
#include <fatwood/train/transforms.h>

namespace fatwood {
namespace {

constexpr std::int64_t kBatch = 512;

std::shared_ptr<const ImageDataset> random_images(std::int64_t n) {
  ImageDatasetParts parts{
      .name = "random", .classes = {}, .height = 28, .width = 28, .pixels = {}, .labels = {}};
  for (int i = 0; i < 10; ++i) parts.classes.push_back(std::to_string(i));
  const Tensor pixels = torch::randint(256, {n * 28 * 28}, torch::kByte);
  const auto* bytes = reinterpret_cast<const Bytes::value_type*>(pixels.const_data_ptr());
  parts.pixels.assign(bytes, bytes + pixels.numel());
  for (std::int64_t i = 0; i < n; ++i)
    parts.labels.push_back(static_cast<Bytes::value_type>(i % 10));
  return std::make_shared<ImageDataset>(std::move(parts));
}

/// Times each epoch from its first batch to the end of the device's work.
class Clock : public Callback {
 public:
  std::string name() const override { return "clock"; }
  Stage stage() const override { return Stage::control; }
  void before_epoch(Run&) override {
    torch::cuda::synchronize();
    begin_ = std::chrono::steady_clock::now();
  }
  void after_epoch(Run& run) override {
    torch::cuda::synchronize();
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - begin_;
    if (run.epoch > 0) std::cout << took.count() / static_cast<double>(run.batches) << std::endl;
  }

 private:
  std::chrono::steady_clock::time_point begin_;
};

int run(const std::string& contestant, const std::string& name, std::int64_t rounds,
        std::int64_t steps) {
  const std::map<std::string, std::string> names{{"conv", "deeper_cnn"},
                                                 {"residual", "residual_cnn"},
                                                 {"double", "double_conv_cnn"},
                                                 {"resnet18", "resnet18"}};
  torch::manual_seed(0);
  at::globalContext().setBenchmarkCuDNN(contestant == "operators");  // as graphs, and the peers, do
  const LayerPtr model = build_model(names.at(name), {.c_in = 1});
  model->to(torch::kCUDA);
  use_channels_last(*model);
  Callbacks callbacks{
      std::make_shared<DevicePlacement>(), std::make_shared<Clock>(),
      std::make_shared<Scheduling>(one_cycle({.total_steps = (rounds + 1) * steps}))};
  const auto graphs = std::make_shared<GraphedSteps>(
      GraphedStepsOptions{.bf16 = contestant == "graphs-bf16",
                          .measure_algorithms = contestant != "graphs-unmeasured"});
  if (contestant.starts_with("graphs")) callbacks.push_back(graphs);
  Learner learner(
      {.model = model,
       .loaders = {resident_images(
           *random_images(kBatch * steps),
           {.batch_size = kBatch, .normalize = {.mean = 0.286, .std = 0.353}}, torch::kCUDA)},
       .optimizer = adamw(*model, {.lr = 1e-3}),
       .callbacks = callbacks,
       .device = torch::kCUDA});
  std::cout << TORCH_VERSION << std::endl;
  learner.fit(rounds + 1);
  if (contestant.starts_with("graphs") && graphs->replayed() == 0)
    throw std::runtime_error("no step was recorded");
  return 0;
}

}  // namespace
}  // namespace fatwood

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bench_cuda CONTESTANT NETWORK ROUNDS STEPS\n");
    return 2;
  }
  try {
    return fatwood::run(argv[1], argv[2], std::stoll(argv[3]), std::stoll(argv[4]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_cuda: %s\n", error.what());
    return 2;
  }
}
