// Augmentation of one's own: flips training images from left to right, each or not by chance. The
// chance depends on (seed, step) alone, so that a resumed run does what it would have done. Needs
// no data set: classes told apart by which third of an image, from top to bottom, is bright.
#include <iostream>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/where.h>

#include <fatwood/engine/engine.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/recipes/train_1cycle.h>
#include <fatwood/train/seed.h>

using namespace fatwood;

class RandomFlip : public Callback {
 public:
  explicit RandomFlip(std::uint64_t seed) : seed_(seed) {}
  std::string name() const override { return "random_flip"; }
  Stage stage() const override { return Stage::data; }

  void before_batch(Run& run) override {
    if (!run.training()) return;
    const std::uint64_t position = seed_ * 1'000'003 + static_cast<std::uint64_t>(run.step);
    const at::Generator random = at::detail::createCPUGenerator(position);
    const Tensor x = run.batch.x;  // (N, C, H, W)
    const Tensor flipped = at::rand({x.size(0), 1, 1, 1}, random) < 0.5;
    run.batch.x = at::where(flipped.to(x.device()), x.flip(3), x);
  }

 private:
  std::uint64_t seed_;
};

int main() {
  set_seed(42);
  const Tensor y = torch::arange(768) % 3;
  Tensor x = torch::randn({768, 1, 9, 9});
  for (std::int64_t i = 0; i < 768; ++i) x[i][0].narrow(0, (i % 3) * 3, 3).add_(1);

  const auto model = CNN::kaiming({.nfs = {8, 16, 16}, .n_outputs = 3});
  use_engine(*model, Engine::fused);
  const Train1CycleResult result =
      train_1cycle(model, {.loaders = {tensor_batches(x, y, {.batch_size = 64, .shuffle = true}),
                                       tensor_batches(x, y, {.batch_size = 256})},
                           .n_epochs = 3,
                           .classes = 3,
                           .callbacks = {std::make_shared<RandomFlip>(42)}});
  const double accuracy = result.recorder->epochs().back().metrics.front().second;
  std::cout << result.fit.status << ", accuracy " << accuracy << "\n";
  return accuracy > 0.9 ? 0 : 1;
}
