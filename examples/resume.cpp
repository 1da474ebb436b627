// Checkpoints without a run folder: a fit is interrupted, and another learner, as in another
// process, goes on from the newest checkpoint to the same weights as a fit that was left alone.
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <unistd.h>

#include <fatwood/model/adaptor.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/checkpointing.h>
#include <fatwood/train/resume.h>
#include <fatwood/train/scheduling.h>

using namespace fatwood;

namespace {

constexpr std::int64_t kEpochs = 4;

// Stands for the power cut: ends the fit in the middle of its third epoch, without a word to
// others.
class PowerCut : public Callback {
 public:
  std::string name() const override { return "power_cut"; }
  void before_batch(Run& run) override {
    if (armed && run.step == 21) throw std::runtime_error("power cut");
  }
  bool armed = false;
};

Learner make_learner(const std::filesystem::path& folder, bool power_cut) {
  torch::manual_seed(0);
  const Tensor x = torch::randn({256, 2});
  const Tensor y = (x.sum(1) > 0).to(torch::kLong);
  const LayerPtr model = adapt(torch::nn::Linear(2, 2));
  const auto cut = std::make_shared<PowerCut>();
  cut->armed = power_cut;
  const Loaders loaders{tensor_batches(x, y, {.batch_size = 32, .shuffle = true}), nullptr};
  const Callbacks callbacks{std::make_shared<Checkpointing>(
                                CheckpointingOptions{.folder = folder, .steps = 4, .minutes = 0}),
                            std::make_shared<Scheduling>(one_cycle({.total_steps = 8 * kEpochs})),
                            cut};
  LearnerOptions options;
  options.model = model;
  options.loaders = loaders;
  options.optimizer = adamw(*model, {.lr = 0.02});
  options.callbacks = callbacks;
  return Learner(std::move(options));
}

}  // namespace

int main() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("fatwood-example-" + std::to_string(::getpid()));

  Learner alone = make_learner(folder / "alone", /*power_cut=*/false);
  alone.fit(kEpochs);

  try {
    make_learner(folder / "cut", /*power_cut=*/true).fit(kEpochs);
  } catch (const std::runtime_error& error) {
    std::cout << error.what() << "\n";
  }

  Learner resumed = make_learner(folder / "cut", /*power_cut=*/false);
  const FoundCheckpoint found = find_checkpoint(folder / "cut", /*rows_bytes=*/0);
  const Position position = restore(*found.file, resumed);
  std::cout << "going on at " << describe(position) << "\n";
  resumed.fit(kEpochs);

  const bool equal =
      torch::equal(resumed.run().model->parameters()[0], alone.run().model->parameters()[0]);
  std::cout << (equal ? "the same weights\n" : "other weights\n");
  std::filesystem::remove_all(folder);
  return equal ? 0 : 1;
}
