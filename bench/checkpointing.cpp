// What saving costs a run: the copy of the state, for which training waits, against the time that
// training takes, with the options that `fatwood train` has by default.
//
//     bench_checkpointing [epochs] [model/engine ...]      e.g. bench_checkpointing 2
//     residual_cnn/fused
#include <cstdio>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <torch/torch.h>
#include <torch/version.h>

#include <fatwood/core/error.h>
#include <fatwood/core/machine.h>
#include <fatwood/recipes/train_run.h>

namespace fatwood {
namespace {

void measure(const std::string& model, const std::string& engine, std::int64_t epochs) {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("fatwood-bench-checkpointing-" + std::to_string(::getpid()));
  TrainRunOptions options;
  options.model = model;
  options.engine = engine;
  options.epochs = epochs;
  options.output = folder;
  options.overwrite = true;
  const TrainRunResult result = train_run(options);
  double training_s = 0, run_s = 0;
  std::int64_t steps = 0;
  for (const EpochRow& row : result.recorder->epochs()) {
    run_s += row.duration_s;
    if (row.mode != Mode::training) continue;
    training_s += row.duration_s;
    steps = row.step;
  }
  const CheckpointingCost& cost = result.checkpointing;
  const auto saves = static_cast<double>(cost.saved);
  const double step_s = training_s / static_cast<double>(steps);
  const auto bytes = std::filesystem::file_size(result.checkpoint);
  std::filesystem::remove_all(folder);
  if (cost.saved < 1 || cost.failed > 0)
    throw Error(ErrorKind::io, "bench_checkpointing", folder.string() + ": a save failed");
  std::printf(
      "| %s | %s | %.1f | %lld in %lld steps | %.1f | %.2f | %.4f %% | %.2f %% | %.0f | %.3f %% "
      "|\n",
      model.c_str(), engine.c_str(), step_s * 1e3, static_cast<long long>(cost.saved),
      static_cast<long long>(steps), static_cast<double>(bytes) / 1e6, cost.copy_s / saves * 1e3,
      cost.copy_s / training_s * 100, cost.copy_s / saves / step_s * 100,
      cost.write_s / saves * 1e3, cost.write_s / run_s * 100);
  std::fflush(stdout);
}

int run(std::int64_t epochs, const std::vector<std::string>& pairs) {
  std::printf("%s, %d threads, LibTorch %s; batch 512, %lld epochs, default checkpoints\n\n",
              this_machine().cpu.c_str(), at::get_num_threads(), TORCH_VERSION,
              static_cast<long long>(epochs));
  std::printf(
      "| model | engine | step, ms | saves | MB | copy, ms | of training | of one step | write, "
      "ms | of the run |\n| -- | -- | -- | -- | -- | -- | -- | -- | -- | -- |\n");
  for (const std::string& pair : pairs) {
    const std::size_t slash = pair.find('/');
    if (slash == std::string::npos)
      throw Error(ErrorKind::usage, "bench_checkpointing", pair + ": wanted MODEL/ENGINE");
    measure(pair.substr(0, slash), pair.substr(slash + 1), epochs);
  }
  return 0;
}

}  // namespace
}  // namespace fatwood

int main(int argc, char** argv) {
  std::vector<std::string> pairs(argv + std::min(argc, 2), argv + argc);
  if (pairs.empty())
    pairs = {"deeper_cnn/torch", "deeper_cnn/fused", "residual_cnn/torch", "residual_cnn/fused"};
  try {
    return fatwood::run(argc > 1 ? std::stoi(argv[1]) : 2, pairs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
