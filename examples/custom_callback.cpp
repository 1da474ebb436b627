// A callback of one's own: prints the gradients' norm every few steps and ends the fit when it
// vanishes. Needs no data set: it learns on which side of a line points lie.
#include <iostream>

#include <torch/nn/modules/activation.h>

#include <fatwood/model/adaptor.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/scheduling.h>

using namespace fatwood;

class WatchGradients : public Callback {
 public:
  std::string name() const override { return "watch_gradients"; }

  void after_backward(Run& run) override {
    double squares = 0;
    for (const Tensor& parameter : run.model->parameters())
      squares += parameter.grad().square().sum().item<double>();
    if (run.step % 8 == 0)
      std::cout << "step " << run.step << ": gradient norm " << std::sqrt(squares) << "\n";
    if (squares < 1e-12) run.cancel(Scope::fit, "the gradient has vanished");
  }
};

int main() {
  torch::manual_seed(0);
  const Tensor x = torch::randn({512, 2});
  const Tensor y = (x.sum(1) > 0).to(torch::kLong);

  // Any torch::nn::Module trains: adapt() makes a Layer of it.
  const LayerPtr model = adapt(
      torch::nn::Sequential(torch::nn::Linear(2, 16), torch::nn::ReLU(), torch::nn::Linear(16, 2)));
  Learner learner(
      {.model = model,
       .loaders = {tensor_batches(x, y, {.batch_size = 32, .shuffle = true}), tensor_batches(x, y)},
       .optimizer = adamw(*model, {.lr = 0.02}),
       .callbacks = {Metrics::usual(/*classes=*/2),
                     std::make_shared<Scheduling>(one_cycle({.total_steps = 32}))}});
  const FitResult result = learner.fit(2, {std::make_shared<WatchGradients>()});
  std::cout << result.status << ", accuracy " << learner.run().epoch_metrics[0].second << "\n";
}
