// Finds a learning rate, initialises by LSUV, trains at that rate and looks at what went wrong.
// Needs no data set: three classes told apart by which third of an image is bright.
#include <iostream>

#include <fatwood/inspect/lr_find.h>
#include <fatwood/inspect/lsuv.h>
#include <fatwood/inspect/predictions.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/metrics.h>

using namespace fatwood;

int main() {
  torch::manual_seed(0);
  const Tensor y = torch::arange(768) % 3;
  Tensor x = torch::randn({768, 1, 9, 9});
  for (std::int64_t i = 0; i < 768; ++i) x[i][0].narrow(0, (i % 3) * 3, 3).add_(1);

  // Without norms the first weights matter.
  const auto without_norm = [](ConvOptions options) {
    options.norm = false;
    return make<Conv>(options);
  };
  const auto model = CNN::kaiming({.nfs = {8, 16, 16}, .n_outputs = 3, .block = without_norm});
  std::cout << to_markdown(lsuv(*model, x.narrow(0, 0, 64))) << "\n";

  const auto predictions = std::make_shared<KeepPredictions>();
  Learner learner({.model = model,
                   .loaders = {tensor_batches(x, y, {.batch_size = 64, .shuffle = true}),
                               tensor_batches(x, y, {.batch_size = 256})},
                   .optimizer = adamw(*model),
                   .callbacks = {Metrics::usual(/*classes=*/3), predictions}});
  const LrFindResult found = lr_find(learner);  // model and optimiser are as they were
  std::cout << "steepest " << found.steepest.value_or(0) << ", valley " << found.valley.value_or(0)
            << " after " << found.lr.size() << " batches\n\n";

  for (ParamGroup& group : learner.run().optimizer->groups())
    group.lr = found.valley.value_or(1e-3);
  learner.fit(3);
  std::cout << "accuracy " << learner.run().epoch_metrics[0].second << "\n"
            << predictions->last()->confusion() << "\n";
}
